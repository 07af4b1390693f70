/** Whoever the target is: it works, or the exact reason comes at once and nothing has been written. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BpfError, openObject, openProcess, ProcessSessions, spawnProcess } from '../../src/index.ts';
import { isFrozen } from '../../src/sys/control-groups.ts';
import { CLI, jsonLines, remora } from '../support/cli.ts';
import { CANNOT_TRACE, EnteredTarget } from '../support/entered.ts';
import { freeze, freezers } from '../support/frozen.ts';
import { objectFile, objectPath } from '../support/objects.ts';
import { isCounted, OddTarget } from '../support/odd-target.ts';
import { Machine, smallProgram } from '../support/small-elf.ts';
import { childOf, compileTarget, startTarget, stateOf, waitUntil } from '../support/targets.ts';

const PARENT = join(import.meta.dirname, '..', 'support', 'parent-controller.js');

/** A second, as asked for; of some tries one must make it, since other programs run here too. */
const AT_ONCE_MS = 1000;
const TRIES = 4;

/** Attaches to `odd:work` or fails, with `code` and in time; gives the error. */
function refused(pid: number, code: string): BpfError {
  const attach = (): void => {
    using target = openProcess(pid);
    using object = openObject(objectFile('count'));
    object.program('on_call').attachUprobe(target, 'odd:work');
  };
  let quickest = Number.POSITIVE_INFINITY;
  let refusal: BpfError | undefined;
  for (let n = 0; n < TRIES && quickest >= AT_ONCE_MS; n++) {
    const from = performance.now();
    assert.throws(attach, (error) => {
      refusal = error as BpfError;
      return error instanceof BpfError && error.code === code;
    });
    quickest = Math.min(quickest, performance.now() - from);
  }
  assert.ok(quickest < AT_ONCE_MS, `${quickest} ms`);
  return refusal!;
}

/** What `remora doctor` says, and its exit code. */
async function askDoctor(pid: number): Promise<object> {
  const { code: exitCode, stdout } = await remora(['doctor', String(pid), '--json']);
  const [report] = jsonLines(stdout) as Record<string, unknown>[];
  const { may_attach: may, code, error, why, fix } = report ?? {};
  return { may, code, error, why, fix, exitCode };
}

/** What it is to say: what the attach said. */
function inItsWords({ code, message, why, fix }: BpfError, exitCode: number): object {
  return { may: false, code, error: message, why: why ?? null, fix: fix ?? null, exitCode };
}

async function doctorSays(pid: number, refusal: BpfError, exitCode: number): Promise<void> {
  assert.deepEqual(await askDoctor(pid), inItsWords(refusal, exitCode));
}

/** Refused with `code`, and by the doctor; the target goes on as if nothing had been. */
async function isRefused(target: OddTarget, code: string, exit: number): Promise<BpfError> {
  const refusal = refused(target.pid, code);
  await doctorSays(target.pid, refusal, exit);
  assert.deepEqual(target.footprint(), target.before);
  target.call(100);
  assert.equal(target.get('wrong'), 0n);
  return refusal;
}

describe('a target that is no ordinary process', { skip: CANNOT_TRACE }, () => {
  it('I1: a kernel thread is refused, and so is a number that no process has', async () => {
    const isKernelThread = existsSync('/proc/2/comm') && readFileSync('/proc/2/comm', 'latin1') === 'kthreadd\n';
    const code = isKernelThread ? 'PROCESS_KERNEL_THREAD' : existsSync('/proc/2') ? undefined : 'PROCESS_NOT_FOUND';
    // In a pid namespace of its own number 2 may be anything, but it is no kernel thread.
    if (code !== undefined) await doctorSays(2, refused(2, code), isKernelThread ? 5 : 4);
    await doctorSays(0x3fff_fff0, refused(0x3fff_fff0, 'PROCESS_NOT_FOUND'), 4);
  });

  it('I2: process 1 is looked at, and either may be entered or not for a reason', async () => {
    const { stdout, code } = await remora(['doctor', '1', '--json']);
    const [report] = jsonLines(stdout) as Record<string, unknown>[];
    assert.equal(report?.may_attach, code === 0);
    if (code !== 0) assert.match(String(report?.error), /^cannot enter process 1 /);
  });

  it('I2: process 1 of a namespace works', () => {
    const command = [compileTarget('contained'), 'p', '-', compileTarget('odd')];
    using odd = new OddTarget(['plain'], { command, pidOf: childOf });
    assert.equal(openProcess(odd.pid).facts.namespacePid, 1);
    isCounted(odd);
  });

  it('I3: a zombie is refused', async () => {
    using entered = new EnteredTarget('zombie');
    const child = Number(entered.counter('child'));
    process.kill(child, 'SIGKILL');
    waitUntil('it has ended', () => stateOf(child) === 'Z');
    await doctorSays(child, refused(child, 'PROCESS_EXITED'), 4);
  });

  it('I4: one that has ended is refused', async () => {
    const odd = new OddTarget(['plain']);
    odd[Symbol.dispose]();
    waitUntil('it is gone', () => !existsSync(`/proc/${odd.pid}`));
    await doctorSays(odd.pid, refused(odd.pid, 'PROCESS_NOT_FOUND'), 4);
  });

  it('I5: the controller itself is refused', () => {
    assert.match(refused(process.pid, 'PROCESS_SELF').message, /it is this process/);
  });

  for (const [what, mode, expected] of [
    ['that waits for it works', 'parent', { counted: true }],
    ['that debugs it is refused', 'tracer', { code: 'PROCESS_TRACES_US' }],
  ] as const) {
    it(`I6: the controller’s own parent ${what}`, () => {
      const folder = mkdtempSync(join(tmpdir(), 'remora-parent-'));
      const file = join(folder, 'result');
      using _target = startTarget(compileTarget('odd'), [mode, process.execPath, PARENT, file]);
      waitUntil('the controller has ended', () => existsSync(file), 30_000);
      assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), expected);
      rmSync(folder, { recursive: true });
    });
  }

  for (const [what, machine] of [
    ['an i386', Machine.I386],
    ['an x32', Machine.X32],
  ] as const) {
    it(`I10: ${what} program is refused, if this kernel executes it at all`, async () => {
      const folder = mkdtempSync(join(tmpdir(), 'remora-narrow-'));
      const path = join(folder, 'narrow');
      writeFileSync(path, smallProgram(machine), { mode: 0o755 });
      let isExecuted = false;
      assert.throws(
        () => spawnProcess(path),
        (e) => {
          isExecuted = e instanceof BpfError && e.code === 'PROCESS_WRONG_ARCH';
          return isExecuted || (e instanceof BpfError && e.code === 'PROCESS_NOT_STARTED');
        },
      );
      if (isExecuted) {
        using target = startTarget(path);
        await doctorSays(target.pid, refused(target.pid, 'PROCESS_WRONG_ARCH'), 5);
      }
      rmSync(folder, { recursive: true });
    });
  }

  it('I10: a 64-bit program that executes 32-bit code is refused when it does', () => {
    using odd = new OddTarget(['narrow']);
    const refusal = refused(odd.pid, 'PROCESS_WRONG_ARCH');
    assert.match(refusal.message, /it executes 32-bit code/);
    assert.deepEqual(odd.footprint(), odd.before);
    assert.equal(stateOf(odd.pid), 'R');
  });

  it('I11: one that is stopped works, and stays stopped', () => {
    using odd = new OddTarget(['plain']);
    process.kill(odd.pid, 'SIGSTOP');
    waitUntil('it is stopped', () => stateOf(odd.pid) === 'T');
    using target = openProcess(odd.pid);
    using object = openObject(objectFile('count'));
    const link = object.program('on_call').attachUprobe(target, 'odd:work');
    // Let go, it runs as far as where it stops again.
    waitUntil('it stands', () => stateOf(odd.pid) === 'T');
    process.kill(odd.pid, 'SIGCONT');
    odd.call(1000);
    assert.equal(link.hits, 1000n);
  });

  it('I12: one that is traced already is refused, and its tracer named', async () => {
    const odd = compileTarget('odd');
    using tracer = startTarget(odd, ['tracer', odd, 'plain']);
    const traced = childOf(tracer.pid);
    waitUntil('it runs', () => ['S', 'R'].includes(stateOf(traced) ?? ''));
    const refusal = refused(traced, 'PROCESS_TRACED');
    assert.equal(refusal.why, `its tracer is process ${tracer.pid} (odd), and there can be only one`);
    await doctorSays(traced, refusal, 3);
    process.kill(traced, 'SIGKILL');
  });

  it('I20: one that waits where nothing interrupts it is let go of, and the others with it', async () => {
    using odd = new OddTarget(['vfork']);
    waitUntil('it is in vfork', () => stateOf(odd.pid) === 'D');
    // Before: as long as it does not stop it stays traced, by us.
    const said = await askDoctor(odd.pid);
    const refusal = refused(odd.pid, 'PROCESS_STOP_TIMEOUT');
    assert.match(refusal.why!, /for its child in vfork/);
    assert.deepEqual(said, inItsWords(refusal, 1));
    assert.deepEqual(odd.footprint(), odd.before);
    odd.set('act', 1n);
    const isTraced = (): boolean => /^TracerPid:\t[1-9]/m.test(readFileSync(`/proc/${odd.pid}/status`, 'latin1'));
    const deadline = performance.now() + 20_000;
    while (isTraced() && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 10));
    assert.equal(isTraced(), false);
    isCounted(odd);
  });

  it('I21: one that keeps a processor for itself works', () => {
    using odd = new OddTarget(['hog']);
    isCounted(odd);
  });

  it('I22: one with a thread that the kernel made, and that executes nothing of its code, works', () => {
    // Where io_uring is forbidden it has none.
    using odd = new OddTarget(['ring']);
    isCounted(odd);
  });
});

describe('a target whose rights are not ours', { skip: CANNOT_TRACE }, () => {
  for (const [what, args] of [
    ['I7: another user’s', ['user', '65534']],
    ['I9: one that is not dumpable', ['nodump']],
  ] as const) {
    it(`${what} works for root`, () => {
      using odd = new OddTarget(args);
      isCounted(odd);
    });
  }
});

describe('a controller without rights', { skip: CANNOT_TRACE }, () => {
  /** Root without a single capability is a user like any other, and may still read what this test is made of. */
  const asNobody = (...args: string[]) => {
    const command = ['--bounding-set=-all', '--inh-caps=-all', process.execPath, CLI, ...args];
    const { status, stdout, stderr } = spawnSync('setpriv', command, { encoding: 'utf8', timeout: 20_000 });
    return { status, stdout, stderr };
  };
  const refusedFor = (odd: OddTarget): Record<string, unknown> => {
    const { status, stdout } = asNobody('doctor', String(odd.pid), '--json');
    const [report] = jsonLines(stdout) as Record<string, unknown>[];
    const load = asNobody('load', objectPath('count'), '-p', String(odd.pid), '--attach', 'on_call=uprobe:odd:work');
    const { code, error, why, fix } = report ?? {};
    // The attach says what the doctor says, and ends as it does.
    assert.ok(
      load.stderr.startsWith(`error: ${error}\nwhy:   ${why}\n`) && load.stderr.endsWith(`fix:   ${fix}\n`),
      load.stderr,
    );
    assert.deepEqual([status, load.status, load.stdout], [3, 3, '']);
    assert.deepEqual(odd.footprint(), odd.before);
    return { code, why };
  };

  for (const [what, args, code, why] of [
    [
      'I7: is refused at another user’s',
      ['user', '65534'],
      'PROCESS_PERMISSION',
      /^it runs as uid 65534, you are uid 0 and lack/,
    ],
    [
      'L1: is refused at one that has capabilities',
      ['plain'],
      'PROCESS_PERMISSION',
      /^it has capabilities that you lack/,
    ],
  ] as const) {
    it(`${what}, and told which rule says so`, () => {
      using odd = new OddTarget(args);
      const refusal = refusedFor(odd);
      assert.equal(refusal.code, code);
      assert.match(String(refusal.why), why);
    });
  }

  for (const [what, args, code, why] of [
    [
      'I9: is refused at one of its own that is not dumpable',
      ['nodump'],
      'PROCESS_PERMISSION',
      /^it (is not dumpable|has capabilities)/,
    ],
    [
      'I14: is refused at one of its own under a filter that kills',
      ['filter', 'kill'],
      'PROCESS_SECCOMP',
      /^its filter may kill it/,
    ],
    [
      'I15: is refused at one of its own under a filter',
      ['filter', 'errno'],
      'PROCESS_SECCOMP',
      /^its filter may kill it/,
    ],
  ] as const) {
    it(what, () => {
      const command = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', compileTarget('odd')];
      using odd = new OddTarget(args, { command });
      const refusal = refusedFor(odd);
      assert.equal(refusal.code, code);
      assert.match(String(refusal.why), why);
    });
  }

  it('I8: is refused at a set-user-id program', () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-setuid-'));
    chmodSync(folder, 0o755);
    const path = join(folder, 'odd');
    copyFileSync(compileTarget('odd'), path);
    chmodSync(path, 0o4755);
    using odd = new OddTarget(['plain'], { command: ['setpriv', '--reuid=65534', '--clear-groups', path] });
    const refusal = refusedFor(odd);
    assert.equal(refusal.code, 'PROCESS_PERMISSION');
    // Where the file system does not know such programs it is another user's.
    assert.match(String(refusal.why), /^it is a set-user-id program: started by uid 65534|^it runs as uid 65534/);
    rmSync(folder, { recursive: true });
  });

  it('L1: works at a process of its own', async () => {
    const command = ['setpriv', '--bounding-set=-all', '--inh-caps=-all', compileTarget('odd')];
    using odd = new OddTarget(['plain'], { command });
    const { status, stdout, stderr } = asNobody('doctor', String(odd.pid));
    assert.deepEqual([status, stderr], [0, '']);
    assert.match(stdout, /^yes: you may attach/m);
  });
});

describe('a target under seccomp', { skip: CANNOT_TRACE }, () => {
  it('I13: in strict mode is refused', async () => {
    using odd = new OddTarget(['strict']);
    waitUntil('it has entered it', () => /^Seccomp:\t1$/m.test(readFileSync(`/proc/${odd.pid}/status`, 'latin1')));
    const { message } = await isRefused(odd, 'PROCESS_SECCOMP', 3);
    assert.match(message, /seccomp mode is strict/);
  });

  for (const [what, action] of [
    ['I14: whose filter kills', 'kill'],
    ['I15: whose filter answers with an error', 'errno'],
    ['I15: whose filter answers with a signal', 'trap'],
    ['I15: whose filter asks a tracer', 'trace'],
    ['I16: whose filter asks a supervisor', 'notify'],
  ] as const) {
    it(`${what} works, and goes on under it`, () => {
      using odd = new OddTarget(['filter', action]);
      isCounted(odd);
      assert.match(readFileSync(`/proc/${odd.pid}/status`, 'latin1'), /^Seccomp:\t2$/m);
    });
  }

  it('I14: whose filter is that of another thread works', () => {
    using odd = new OddTarget(['thread']);
    using target = openProcess(odd.pid);
    assert.equal(target.facts.seccomp, 'filter');
    isCounted(odd);
  });

  it('I13: that enters strict mode while it is probed is left as it was, but for memory that nobody may unmap', () => {
    using odd = new OddTarget(['strict', 'later']);
    using target = openProcess(odd.pid);
    const object = openObject(objectFile('count'));
    const link = object.program('on_call').attachUprobe(target, 'odd:work');
    odd.call(1000);
    odd.set('confined', 1n);
    waitUntil('it has entered it', () => /^Seccomp:\t1$/m.test(readFileSync(`/proc/${odd.pid}/status`, 'latin1')));
    odd.call(1000);
    assert.equal(link.hits, 2000n);
    object[Symbol.dispose]();
    odd.call(1000);
    assert.deepEqual(odd.changedCode(), []);
    assert.equal(odd.get('wrong'), 0n);
    using found = new ProcessSessions(odd.pid);
    assert.deepEqual(
      found.sessions.map(({ state }) => state),
      ['closed'],
    );
  });

  it('I14: is given no program that makes system calls', () => {
    using odd = new OddTarget(['filter', 'kill']);
    using target = openProcess(odd.pid);
    const object = openObject(objectFile('reads'));
    assert.throws(
      () => object.program('on_touch').attachUprobe(target, 'odd:work'),
      (e) => e instanceof BpfError && e.code === 'COMPILE_FORBIDDEN_HELPER' && /seccomp filter/.test(e.why ?? ''),
    );
    object[Symbol.dispose]();
    odd.call(100);
    assert.deepEqual(odd.footprint(), odd.before);
  });
});

describe('a target at its limits', { skip: CANNOT_TRACE }, () => {
  for (const [what, mode, reason] of [
    ['has locked as much memory as it may', 'locked', /EAGAIN|ENOMEM/],
    ['has as many open files as it may', 'full', /EMFILE/],
  ] as const) {
    it(`I19: that ${what} is refused by name, and left as it was`, () => {
      using odd = new OddTarget([mode]);
      const { message, why } = refused(odd.pid, 'PROCESS_CALL_FAILED');
      assert.match(message, reason);
      assert.match(why!, /RLIMIT_/);
      assert.deepEqual(odd.footprint(), odd.before);
      odd.call(100);
    });
  }
});

describe('a target whose control group is frozen', { skip: CANNOT_TRACE }, () => {
  it('I17: is refused until it is thawed, and works then', async () => {
    for (const freezer of freezers()) {
      using odd = new OddTarget(['plain']);
      const probe = join(freezer.folder, `remora-probe-${process.pid}`);
      const isWritable = attempt(() => mkdirSync(probe));
      if (!isWritable) {
        assert.equal(isFrozen(odd.pid), false);
        continue;
      }
      rmSync(probe, { recursive: true, force: true });
      {
        using _frozen = freeze(odd.pid, freezer);
        const refusal = refused(odd.pid, 'PROCESS_FROZEN');
        await doctorSays(odd.pid, refusal, 5);
        assert.deepEqual(odd.footprint(), odd.before);
      }
      isCounted(odd);
    }
    assert.equal(isFrozen(process.pid), false);
  });

  it('I17: that is frozen while it is entered is let go of, and its thread put back', () => {
    for (const freezer of freezers().filter(({ kind }) => kind === 'cgroup2')) {
      using odd = new OddTarget(['plain']);
      using target = openProcess(odd.pid);
      using object = openObject(objectFile('count'));
      let frozen: Disposable | undefined;
      if (!attempt(() => (frozen = freeze(odd.pid, freezer)))) continue;
      assert.throws(
        () => object.program('on_call').attachUprobe(target, 'odd:work'),
        (e) => e instanceof BpfError && e.code === 'PROCESS_FROZEN',
      );
      assert.deepEqual(odd.footprint(), odd.before);
      frozen?.[Symbol.dispose]();
      isCounted(odd);
    }
  });
});

function attempt(body: () => unknown): boolean {
  try {
    body();
    return true;
  } catch {
    return false;
  }
}
