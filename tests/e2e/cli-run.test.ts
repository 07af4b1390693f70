/** `remora run`: probes are in place before a program's first own instruction, and otherwise it is as if started without us. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CLI, jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');
const PRINTS = join(ROOT, 'tests/objects/clang-19/programs.bpf.o');

describe('remora run', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  let data: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-run-'));
    data = join(folder, 'data.json');
  });
  after(() => rmSync(folder, { recursive: true }));

  const runArgs = (place: string, command: readonly string[]): string[] => {
    const options = ['--attach', `on_call=uprobe:${place}`, '--json', '-q', '-o', data];
    return ['run', COUNT, ...options, '--', ...command];
  };

  /** Runs a program under us; how it ended, what it wrote, and how often the place was reached. */
  const run = (place: string, command: readonly string[], input = '') => {
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, [CLI, ...runArgs(place, command)], {
      encoding: 'utf8',
      input,
    });
    const stats = jsonLines(readFileSync(data, 'utf8')).find((line) => (line as { type: string }).type === 'stats');
    const hits = (stats as { data: { links: { hits: number }[] } } | undefined)?.data.links[0]?.hits;
    return { status, signal, stdout, stderr, hits };
  };

  for (const [what, flags, compiler] of [
    ['dynamic', []],
    ['dynamic, musl', [], 'musl-gcc'],
    ['not position-independent', ['-no-pie']],
    ['static', ['-static']],
    ['static and position-independent', ['-static-pie']],
  ] as const) {
    it(`counts what constructors call: ${what}`, () => {
      const program = compileTarget('early', flags, compiler);
      assert.deepEqual(run(`${program}:work`, [program, '7']), {
        status: 7,
        signal: null,
        stdout: '',
        stderr: '',
        hits: 5,
      });
    });
  }

  it('counts what the constructors of a library call', () => {
    const library = compileTarget('early', ['-DLIBRARY', '-shared', '-fPIC']);
    const program = compileTarget('early', ['-DWITH_LIBRARY', library]);
    assert.equal(run(`${library}:library_work`, [program]).hits, 5);
    assert.equal(run(`${program}:work`, [program]).hits, 5);
  });

  it('passes on input, output and exit code', () => {
    const { status, stdout, stderr } = run('libc.so.6:read', ['sh', '-c', 'cat; echo no >&2; exit 9'], 'some text');
    assert.deepEqual([status, stdout, stderr], [9, 'some text', 'no\n']);
  });

  it('dies of the signal that its program died of', () => {
    assert.equal(run('libc.so.6:read', ['sh', '-c', 'kill -TERM $$']).signal, 'SIGTERM');
    assert.equal(run('libc.so.6:read', ['sh', '-c', 'kill -KILL $$']).signal, 'SIGKILL');
  });

  it('gives its program the environment, group, descriptors and signals that it has without us', () => {
    const script = [
      'import os, signal, sys',
      'fds = [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]',
      'status = [line for line in open("/proc/self/status") if line.startswith(("SigBlk", "SigIgn", "SigCgt"))]',
      'flags = [open(f"/proc/self/fdinfo/{fd}").read().split()[3] for fd in range(3)]',
      'print(os.getpgrp() == os.getpgid(os.getppid()), os.getsid(0), sorted(fds), status, flags, sys.argv, sorted(os.environ.items()))',
    ].join('\n');
    const command = ['python3', '-c', script, 'an argument', ''];
    const alone = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8', input: '' });
    const { stdout, stderr } = run('libc.so.6:read', command);
    assert.equal(stderr, '');
    assert.equal(stdout, alone.stdout);
  });

  it('gives its program the signals that it has without us', () => {
    const command = ['grep', '^Sig[BI]', '/proc/self/status'];
    const alone = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
    assert.equal(run('libc.so.6:read', command).stdout, alone.stdout);
  });

  it('counts in programs that people use, which work as without us', () => {
    const repository = mkdtempSync(join(folder, 'repository-'));
    const commands: readonly (readonly string[])[] = [
      ['git', 'init', '--quiet', repository],
      ['git', '-C', repository, 'status', '--short', '--branch'],
      ['python3', '-S', '-c', 'import json; print(json.dumps([1, 2]))'],
      [process.execPath, '-p', 'process.argv.length + Buffer.from("abc").toString("hex")', 'x'],
      ['sh', '-c', 'seq 1 2000 | grep 7 | sort -r | tail -n 1; exit 5'],
    ];
    for (const command of commands) {
      const { hits, ...ran } = run('libc.so.6:malloc', command);
      const { status, signal, stdout, stderr } = spawnSync(command[0]!, command.slice(1), { encoding: 'utf8' });
      assert.deepEqual(ran, { status, signal, stdout, stderr });
      assert.ok(hits !== undefined && hits > 0, `${command}: ${hits}`);
    }
  });

  it('is in place before the first instruction of a program', () => {
    for (const flags of [['-static'], ['-static-pie'], []]) {
      const program = compileTarget('early', flags);
      assert.equal(run(`${program}:_start`, [program]).hits, 1, flags.join());
    }
  });

  it('shows what is printed while the program runs, and lets it write to pipes as without us', async () => {
    const script = 'import os, sys; print("blocking" if os.get_blocking(1) else "not"); sys.stdin.read()';
    const running = new RunningRemora(['run', PRINTS, '-q', '--', 'python3', '-u', '-c', script]);
    await running.says(/^realloc\(.*^blocking$/ms);
    running.child.stdin.end();
    assert.equal((await running.end()).code, 0);
  });

  it('wants an object', async () => {
    for (const args of [[], ['--', 'true'], ['--', 'ls', '-l'], [COUNT]]) {
      const { code, stderr } = await remora(['run', ...args]);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /missing required argument|there is no object/);
    }
  });

  it('starts scripts, and programs of the path', () => {
    const script = join(folder, 'script');
    writeFileSync(script, '#!/bin/sh\necho "$0 $1"\n');
    chmodSync(script, 0o755);
    assert.equal(run('libc.so.6:read', [script, 'x']).stdout, `${script} x\n`);
    assert.equal(run('libc.so.6:read', ['true']).status, 0);
  });

  it('says that a program is not there, or is none', async () => {
    for (const command of ['/no/such/program', 'no-such-program', folder]) {
      const { code, stderr } = await remora(['run', COUNT, '--', command]);
      assert.equal(code, 4, stderr);
      assert.match(stderr, /cannot start/);
    }
  });

  it('starts nothing where nothing can be attached', async () => {
    const { code, stdout, stderr } = await remora([
      ...['run', COUNT, '--attach', 'on_call=uprobe:libc.so.6:no_such_function'],
      ...['--', 'echo', 'it ran'],
    ]);
    assert.equal(code, 4, stderr);
    assert.equal(stdout, '');
  });

  it('passes on signals that are sent to it', async () => {
    const script = 'trap "echo caught; exit 3" TERM; echo ready; while :; do sleep 0.05; done';
    const running = new RunningRemora(runArgs('libc.so.6:read', ['sh', '-c', script]));
    await running.says(/ready/);
    const { code, stdout } = await running.end('SIGTERM');
    assert.deepEqual([code, stdout], [3, 'ready\ncaught\n']);
  });

  for (const [what, command, stdout] of [
    ['a pipeline', ['sh', '-c', 'seq 1 1000 | sort -n | tail -1'], '1000\n'],
    ['python3', ['python3', '-c', 'import json; print(json.dumps([1]))'], '[1]\n'],
    ['node', [process.execPath, '-p', '6 * 7'], '42\n'],
  ] as const) {
    it(`runs ${what}`, () => {
      const result = run('libc.so.6:malloc', command);
      assert.deepEqual([result.status, result.stdout, result.stderr], [0, stdout, '']);
      assert.ok(result.hits! > 0);
    });
  }

  it('leaves its program the terminal', () => {
    const script = 'import os; print([os.isatty(fd) for fd in range(3)], os.tcgetpgrp(0) == os.getpgrp())';
    const quoted = [process.execPath, CLI, ...runArgs('libc.so.6:read', ['python3', '-c', script])].map(
      (arg) => `'${arg}'`,
    );
    const { stdout } = spawnSync('script', ['-qec', quoted.join(' '), '/dev/null'], { encoding: 'utf8', input: '' });
    assert.equal(stdout.trim(), '[True, True, True] True');
  });
});
