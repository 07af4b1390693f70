/** Which processes can be entered, and what is found in them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, readFileSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Injection } from '../../src/inject/injection.ts';
import { ProcessError, type ProcessErrorCode } from '../../src/process/errors.ts';
import { openProcess } from '../../src/process/target-process.ts';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { ADD_WINDOW } from '../support/counting-patch.ts';
import { Debugger } from '../support/debugger.ts';
import { CANNOT_TRACE, EnteredTarget, readCounter } from '../support/entered.ts';
import { compileTarget, startTarget, stateOf, waitUntil } from '../support/targets.ts';

const isProcessError = (code: ProcessErrorCode) => (error: unknown) =>
  error instanceof ProcessError && error.code === code;

describe('a process that cannot be entered', () => {
  for (const [what, pid, code] of [
    ['this one', process.pid, 'PROCESS_SELF'],
    ['none at all', 0x7fff_fff0, 'PROCESS_NOT_FOUND'],
    ['number 0', 0, 'PROCESS_NOT_A_PROCESS'],
    ['a negative number', -1, 'PROCESS_NOT_A_PROCESS'],
    ['not a number', Number.NaN, 'PROCESS_NOT_A_PROCESS'],
  ] as const) {
    it(`is ${what}: ${code}`, () => assert.throws(() => openProcess(pid), isProcessError(code)));
  }

  it('is a thread of one: PROCESS_NOT_A_PROCESS', () => {
    using entered = new EnteredTarget('threads', ['2', 'idle']);
    const thread = readThreadIds(entered.pid).at(-1)!;
    assert.throws(() => openProcess(thread), isProcessError('PROCESS_NOT_A_PROCESS'));
  });

  it('is a zombie: PROCESS_EXITED', { skip: CANNOT_TRACE }, () => {
    using entered = new EnteredTarget('zombie');
    const child = Number(entered.counter('child'));
    using opened = openProcess(child);
    assert.ok(opened.mappings().length > 0);
    process.kill(child, 'SIGKILL');
    waitUntil('it has ended', () => stateOf(child) === 'Z');
    assert.throws(() => openProcess(child), isProcessError('PROCESS_EXITED'));
    assert.throws(() => opened.mappings(), isProcessError('PROCESS_EXITED'));
    assert.throws(() => opened.withRemoteCalls(() => undefined), isProcessError('PROCESS_EXITED'));
  });

  const hasKernelThread = existsSync('/proc/2/comm') && readFileSync('/proc/2/comm', 'latin1') === 'kthreadd\n';
  const noKernelThread = !hasKernelThread && 'not to be seen in this container';
  it('is a kernel thread: PROCESS_KERNEL_THREAD', { skip: noKernelThread }, () => {
    assert.throws(() => openProcess(2), isProcessError('PROCESS_KERNEL_THREAD'));
  });

  it('is traced already: PROCESS_TRACED, and by whom', { skip: CANNOT_TRACE }, () => {
    using entered = new EnteredTarget('threads', ['2', 'idle']);
    using debug = new Debugger(entered.pid);
    assert.throws(
      () => openProcess(entered.pid),
      (e) => isProcessError('PROCESS_TRACED')(e) && (e as ProcessError).why?.includes(`process ${debug.pid}`) === true,
    );
  });

  const isRoot = process.getuid?.() === 0;
  it("is another user's: PROCESS_PERMISSION, and why", { skip: !isRoot && 'only root can become another user' }, () => {
    using entered = new EnteredTarget('threads', ['2', 'idle']);
    const module = join(import.meta.dirname, '..', '..', 'src', 'process', 'target-process.js');
    const script = `const { openProcess } = await import(${JSON.stringify(module)});
      try { openProcess(${entered.pid}); } catch (e) { console.log(e.code + '|' + e.why + '|' + e.fix); }`;
    const args = ['--input-type=module', '-e', script];
    const run = spawnSync(process.execPath, args, { uid: 65534, gid: 65534, cwd: '/', encoding: 'utf8' });
    assert.match(
      run.stdout,
      /^PROCESS_PERMISSION\|it runs as uid 0, you are uid 65534 and lack CAP_SYS_PTRACE\|.*sudo/,
    );
  });
});

describe('a process that is not as usual', { skip: CANNOT_TRACE }, () => {
  it('has lost its first thread: it is entered all the same', () => {
    using entered = new EnteredTarget('threads', ['3', 'leaderless']);
    waitUntil('the first thread has ended', () => stateOf(entered.pid) === 'Z');
    const held = entered.process.stopThreads();
    assert.equal(held.threads.length, 2);
    held[Symbol.dispose]();
    entered.process.withRemoteCalls((calls) => calls.call('gettid'));
    const before = entered.counter('rounds');
    waitUntil('it goes on', () => entered.counter('rounds') > before);
    assert.equal(entered.counter('damaged'), 0n);
  });

  it('has a thread that cannot stop: all others are let go, and that one when it can', async () => {
    using entered = new EnteredTarget('threads', ['2', 'vfork']);
    assert.throws(() => entered.process.stopThreads(), isProcessError('PROCESS_STOP_TIMEOUT'));
    const before = entered.counter('rounds');
    waitUntil('the others go on', () => entered.counter('rounds') > before);
    while (entered.counter('churned') === 0n) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const tid of readThreadIds(entered.pid)) assert.equal(readStatus(tid).tracer, 0);
    assert.equal(entered.process.stopThreads()[Symbol.dispose](), undefined);
    assert.equal(entered.counter('damaged'), 0n);
  });

  it('would be killed by its seccomp filter: the filter sleeps meanwhile', (t) => {
    using entered = new EnteredTarget('filtered');
    if (!entered.process.facts.canSuspendSeccomp) return t.skip('needs CAP_SYS_ADMIN');
    assert.equal(entered.process.facts.seccomp, 'filter');
    const injection = new Injection(entered.process);
    injection.share(4096);
    assert.equal(injection.release(), true);
    const before = entered.counter('rounds');
    waitUntil('it goes on', () => entered.counter('rounds') > before);
  });

  it('replaces its program: the new one is left alone', () => {
    using entered = new EnteredTarget('exec');
    const injection = new Injection(entered.process);
    const { address } = injection.share(4096);
    const site = entered.address('main');
    const original = entered.process.memory.read(site, 5);
    injection.patch({
      address: address + 64n,
      original: new Uint8Array(5),
      wanted: Uint8Array.of(1, 2, 3, 4, 5),
      moves: new Map(),
    });
    entered.set('go', 1);
    waitUntil('its memory is gone', () => entered.process.isGone());
    assert.ok(entered.process.isAlive());
    injection.patch({ address: site, original, wanted: original, moves: new Map() });
    assert.equal(injection.release(), true);
    using again = openProcess(entered.pid);
    const rounds = again.findModule('exec').elf.findSymbol('rounds')!.value + again.findModule('exec').bias;
    const before = readCounter(again, rounds);
    waitUntil('the new program works', () => readCounter(again, rounds) > before);
  });
});

describe('modules and functions', { skip: CANNOT_TRACE }, () => {
  for (const [what, flags] of [
    ['a position-independent program', []],
    ['a program linked to a fixed address', ['-no-pie']],
    ['a static program', ['-static']],
    ['a static position-independent program', ['-static-pie']],
    ['a stripped program that exports its functions', ['-rdynamic', '-s']],
  ] as const) {
    it(`finds the functions of ${what}`, () => {
      using entered = new EnteredTarget('sites', ['call', '1'], flags);
      const add = entered.process.resolveFunction(entered.module, 'add');
      assert.deepEqual(entered.process.memory.read(add.address, ADD_WINDOW.length), ADD_WINDOW);
      assert.equal(add.size, 10);
    });
  }

  for (const name of [
    'libc.so.6',
    'libc.so',
    'libc',
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/usr/lib/x86_64-linux-gnu/libc.so.6',
  ]) {
    it(`finds the C library as ${name}`, () => {
      using entered = new EnteredTarget('threads');
      const module = entered.process.findModule(name);
      assert.match(module.path, /libc\.so\.6$/);
      assert.ok(module.holdsCode(entered.process.resolveFunction(module, 'malloc').address));
    });
  }

  it('finds the program by the name it was started under', () => {
    const link = `${compileTarget('threads')}-alias`;
    rmSync(link, { force: true });
    symlinkSync(compileTarget('threads'), link);
    using target = startTarget(link);
    using entered = openProcess(target.pid);
    assert.equal(entered.findModule('threads-alias').path, compileTarget('threads'));
    assert.equal(entered.findModule(link).path, compileTarget('threads'));
    assert.equal(entered.findModule('/proc/self/exe').path, compileTarget('threads'));
  });

  it('finds the vDSO, which is no file', () => {
    using entered = new EnteredTarget('threads');
    const vdso = entered.process.findModule('[vdso]');
    assert.ok(vdso.holdsCode(entered.process.resolveFunction(vdso, '__vdso_clock_gettime').address));
  });

  it('suggests a module, and a function, when there is none of that name', () => {
    using entered = new EnteredTarget('threads');
    assert.throws(
      () => entered.process.findModule('libcc.so.6'),
      (e) => isProcessError('PROCESS_MODULE_NOT_FOUND')(e) && /'libc.so.6'/.test((e as ProcessError).fix ?? ''),
    );
    assert.throws(
      () => entered.process.resolveFunction(entered.process.findModule('libc'), 'maloc'),
      (e) => isProcessError('PROCESS_SYMBOL_NOT_FOUND')(e) && /'malloc'/.test((e as ProcessError).fix ?? ''),
    );
    assert.throws(
      () => entered.process.resolveFunction(entered.module, 'rounds'),
      isProcessError('PROCESS_SYMBOL_NOT_FOUND'),
    );
  });

  it('reads the file that is mapped, though another has its name by now', () => {
    const path = `${compileTarget('sites')}.${process.pid}`;
    copyFileSync(compileTarget('sites'), path);
    using target = startTarget(path, ['call', '1']);
    copyFileSync(compileTarget('threads'), `${path}.new`);
    renameSync(`${path}.new`, path);
    using entered = openProcess(target.pid);
    const add = entered.resolveFunction(entered.findModule(path), 'add');
    assert.deepEqual(entered.memory.read(add.address, ADD_WINDOW.length), ADD_WINDOW);
    rmSync(path);
  });

  for (const flags of [[], ['-static'], ['-no-pie']]) {
    it(`finds what a resolver chose (${flags.join() || 'dynamic'})`, () => {
      using entered = new EnteredTarget('indirect', [], flags);
      const chosen = entered.process.resolveFunction(entered.module, 'chosen');
      assert.equal(chosen.address, entered.address('implementation'));
      assert.ok(chosen.size > 0);
    });
  }

  it('finds what the C library chose for strcmp', () => {
    using entered = new EnteredTarget('threads');
    const libc = entered.process.findModule('libc');
    const strcmp = entered.process.resolveFunction(libc, 'strcmp');
    assert.ok(libc.holdsCode(strcmp.address));
    assert.notEqual(strcmp.address, libc.bias + libc.elf.findSymbol('strcmp')!.value);
  });
});
