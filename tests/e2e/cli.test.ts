/** What all commands have in common, and `remora doctor`, from outside. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, startTarget } from '../support/targets.ts';

describe('remora', () => {
  it('tells its version', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    assert.deepEqual(await remora(['--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
  });

  it('helps with examples', async () => {
    const { code, stdout } = await remora(['--help']);
    assert.match(stdout, /^Examples:\n {2}remora doctor/m);
    assert.equal(code, 0);
  });

  for (const command of ['load', 'list', 'explain', 'disasm', 'doctor', 'vm']) {
    it(`helps with ${command}`, async () => {
      const { code, stdout } = await remora([command, '--help']);
      assert.match(stdout, new RegExp(`^Usage: remora ${command} `));
      assert.equal(code, 0);
    });
  }

  for (const [why, args, message] of [
    ['no command', [], /^Usage: remora/],
    ['an unknown command', ['laod'], /^error: unknown command 'laod'\n\(Did you mean load\?\)\nfix: /],
    ['a command of a later version', ['trace', 'BEGIN {}'], /^error: unknown command 'trace'/],
    ['an unknown option', ['load', 'x.bpf.o', '-p', '1', '--nope'], /^error: unknown option '--nope'/],
    ['a missing argument', ['disasm'], /^error: missing required argument 'FILE'/],
    ['an argument too many', ['doctor', '1', '2'], /^error: too many arguments/],
    ['a missing process', ['load', 'x.bpf.o'], /^error: required option '-p, --pid <PID>' not specified/],
    ['a process that is no number', ['doctor', 'bash'], /Wanted a process id/],
    ['a negative process', ['load', 'x.bpf.o', '-p', '-1'], /Wanted a process id/],
    ['a time without a unit we know', ['load', 'x.bpf.o', '-p', '1', '--duration', '5d'], /Wanted a time such as/],
    ['a place without a program', ['load', 'x.bpf.o', '-p', '1', '--attach', 'x'], /Wanted PROGRAM=uprobe:/],
    ['a permission it does not know', ['load', 'x.bpf.o', '-p', '1', '--allow', 'all'], /Wanted override, write-user/],
  ] as const) {
    it(`refuses ${why} with exit code 2`, async () => {
      const { code, stdout, stderr } = await remora(args);
      assert.match(stderr, message);
      assert.deepEqual([code, stdout], [2, '']);
    });
  }
});

describe('remora doctor', () => {
  it('says in JSON what it found about this user', async () => {
    const { code, stdout } = await remora(['doctor', '--json']);
    const [report] = jsonLines(stdout) as Record<string, unknown>[];
    assert.equal(report?.type, 'doctor');
    assert.equal(report?.uid, process.getuid?.());
    assert.equal(report?.may_attach, code === 0);
  });

  it('looks at a process without touching it', async () => {
    using target = startTarget(compileTarget('threads'), ['2']);
    const { code, stdout } = await remora(['doctor', `${target.pid}`, '--json']);
    // What the machine and its user decide is left out.
    const [{ state, uid, cap_sys_ptrace, ptrace_scope, seccomp, can_suspend_seccomp, ...report } = {}] = jsonLines(
      stdout,
    ) as Record<string, unknown>[];
    assert.deepEqual(report, {
      type: 'doctor',
      pid: target.pid,
      name: 'threads',
      owner: process.getuid?.(),
      threads: 2,
      dumpable: true,
      tracer: null,
      arch: 'x86-64',
      libc: 'glibc',
      frozen: false,
      namespace_pid: target.pid,
      may_attach: true,
    });
    assert.equal(code, 0);
  });

  it('says yes to people', async () => {
    using target = startTarget(compileTarget('threads'), ['0']);
    const { code, stdout } = await remora(['doctor', `${target.pid}`]);
    assert.match(stdout, /^architecture {3}x86-64$/m);
    assert.match(stdout, new RegExp(`^yes: you may attach to ${target.pid} \\(threads\\)$`, 'm'));
    assert.equal(code, 0);
  });

  for (const [why, pid, code, message] of [
    ['a process that is not there', '4000000', 4, /^error: cannot enter process 4000000/m],
    ['a kernel thread', '2', 5, /part of the kernel|there is none/],
  ] as const) {
    it(`says no to ${why}`, async (t) => {
      if (pid === '2' && !isKernelThread()) return t.skip('process 2 is no kernel thread here: a pid namespace');
      const result = await remora(['doctor', pid]);
      assert.match(result.stdout, message);
      assert.deepEqual([result.code, result.stderr], [code, '']);
    });
  }
});

function isKernelThread(): boolean {
  try {
    return readFileSync('/proc/2/comm', 'utf8') === 'kthreadd\n';
  } catch {
    return false;
  }
}
