/** System calls made by a thread of the target for us, which it must not notice. */
import assert from 'node:assert/strict';
import { readlinkSync } from 'node:fs';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { ProcessError } from '../../src/process/errors.ts';
import { readStatus } from '../../src/sys/proc.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { waitUntil } from '../support/targets.ts';

describe('remote calls', { skip: CANNOT_TRACE }, () => {
  for (const args of [
    ['1', 'spin'],
    ['16', 'spin'],
    ['256', 'idle'],
    ['4', 'churn'],
    ['2', 'signal'],
  ]) {
    it(`change no register, flag or byte of threads ${args.join(' ')}`, () => {
      using entered = new EnteredTarget('threads', args);
      const before = footprint(entered.process);
      for (let i = 0; i < 40; i++) {
        entered.process.withRemoteCalls((calls) => {
          const address = calls.call('mmap', 0, 4096, 3, 0x22, -1, 0);
          calls.call('munmap', address, 4096);
          assert.equal(readStatus(Number(calls.call('gettid'))).tgid, entered.pid);
        });
      }
      const rounds = entered.counter('rounds');
      waitUntil('it goes on', () => entered.counter('rounds') > rounds + 100n);
      assert.equal(entered.counter('damaged'), 0n);
      // Threads come and go with their stacks in the one that churns.
      if (args[1] === 'churn') return;
      // A signal is blocked while its handler runs.
      waitUntil('no handler runs', () => isDeepStrictEqual(footprint(entered.process).status, before.status));
      assert.deepEqual({ ...footprint(entered.process), status: before.status }, before);
    });
  }

  for (const args of [
    ['2', 'spin'],
    ['2', 'signal'],
    ['2', 'idle'],
  ]) {
    it(`are made one behind the other in one run, in threads ${args.join(' ')}`, () => {
      using entered = new EnteredTarget('threads', args);
      const before = footprint(entered.process);
      const place = 0x7000_0000_0000n;
      for (let i = 0; i < 20; i++) {
        entered.process.withRemoteCalls((calls) => {
          const outcome = calls.tryRun([
            { name: 'mmap', args: [place, 8192, 3, 0x10_0022, -1, 0], wanted: place },
            { name: 'memfd_create', args: ['name', 1] },
            { name: 'mmap', args: [place + 4096n, 4096, 3, 0x11, 'file', 0] },
          ]);
          assert.deepEqual(outcome, { done: 3, result: place + 4096n, error: undefined });
          assert.match(readlinkSync(`/proc/${entered.pid}/fd/${calls.file}`), /memfd:remora/);
          calls.run([
            { name: 'close', args: ['file'] },
            { name: 'munmap', args: [place, 8192] },
          ]);
          assert.equal(calls.file, undefined);
        });
      }
      waitUntil('no handler runs', () => isDeepStrictEqual(footprint(entered.process).status, before.status));
      assert.deepEqual({ ...footprint(entered.process), status: before.status }, before);
      assert.equal(entered.counter('damaged'), 0n);
    });
  }

  // A thread that is stopped in the middle of `clone` gives its C library a false answer if it is lent: two threads on one stack.
  it('leave alone a thread that is making another', () => {
    using entered = new EnteredTarget('threads', ['1', 'breed']);
    for (let i = 0; i < 1200; i++) {
      entered.process.withRemoteCalls((calls) => {
        assert.equal(readStatus(Number(calls.call('gettid'))).tgid, entered.pid);
      });
    }
    const born = entered.counter('churned');
    waitUntil('it goes on', () => entered.counter('churned') > born + 100n);
    assert.equal(entered.counter('damaged'), 0n);
  });

  it('end with the first that fails, and say which', () => {
    using entered = new EnteredTarget('threads');
    const before = footprint(entered.process);
    const place = 0x7000_0000_0000n;
    entered.process.withRemoteCalls((calls) => {
      const { done, error } = calls.tryRun([
        { name: 'mmap', args: [place, 4096, 3, 0x10_0022, -1, 0], wanted: place },
        { name: 'memfd_create', args: ['name', -1] },
        { name: 'munmap', args: [place, 4096] },
      ]);
      assert.equal(done, 1);
      assert.match(error!.message, /memfd_create: EINVAL/);
      assert.equal(calls.file, undefined);
      const wanted = calls.tryRun([{ name: 'munmap', args: [place, 4096], wanted: 1n }]);
      assert.match(wanted.error!.message, /munmap: it returned 0x0, wanted 0x1/);
    });
    assert.deepEqual(footprint(entered.process), before);
  });

  it('are made in as many runs as there is room for', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    const before = footprint(entered.process);
    const place = 0x7000_0000_0000n;
    const at = (n: number): bigint => place + BigInt(n) * 8192n;
    const pages = Array.from({ length: 50 }, (_, n) => at(n));
    entered.process.withRemoteCalls((calls) => {
      calls.run(pages.map((page) => ({ name: 'mmap', args: [page, 4096, 3, 0x10_0022, -1, 0], wanted: page })));
      for (const page of pages) assert.equal(entered.process.memory.read(page, 1)[0], 0);
      const { done, error } = calls.tryRun([
        ...pages.map((page) => ({ name: 'munmap', args: [page, 4096] }) as const),
        { name: 'munmap', args: [1, 4096] },
      ]);
      assert.equal(done, pages.length);
      assert.match(error!.message, /munmap: EINVAL/);
    });
    assert.deepEqual(footprint(entered.process), before);
  });

  it('report an error by its name', () => {
    using entered = new EnteredTarget('threads');
    assert.throws(
      () => entered.process.withRemoteCalls((calls) => calls.call('munmap', 1, 4096)),
      (e) => e instanceof ProcessError && e.code === 'PROCESS_CALL_FAILED' && e.message.includes('EINVAL'),
    );
    waitUntil('it goes on', () => entered.counter('rounds') > 0n);
  });

  it('work in a process that a signal has stopped, and leave it stopped', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    process.kill(entered.pid, 'SIGSTOP');
    const tid = entered.process.withRemoteCalls((calls) => calls.call('gettid'));
    assert.ok(tid > 0n);
    const before = entered.counter('rounds');
    assert.equal(entered.counter('rounds'), before);
    process.kill(entered.pid, 'SIGCONT');
    waitUntil('it goes on', () => entered.counter('rounds') > before);
    assert.equal(entered.counter('damaged'), 0n);
  });

  it('tell of a process that ends meanwhile', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    assert.throws(
      () =>
        entered.process.withRemoteCalls((calls) => {
          process.kill(entered.pid, 'SIGKILL');
          for (;;) calls.call('gettid');
        }),
      (e) => e instanceof ProcessError && e.code === 'PROCESS_EXITED',
    );
  });
});

/** Calls whose relative timeout begins anew after a stop. */
const BEGINS_ANEW = new Set(['epoll_wait', 'sigtimedwait', 'semtimedop', 'recv']);
/** Milliseconds: what the target waits for, and how long stops go on meanwhile. One that begins anew then takes the sum. */
const [WAIT, STOPS] = [300, 250];
/** Anything takes long now and then where others work too, but not that often. */
const TRIES = 5;

/** Has a target wait while it is stopped again and again. @returns how long the longest of its waits took, in milliseconds */
function stopped(call: string): number {
  using entered = new EnteredTarget('sleeper', [call]);
  for (const end = performance.now() + STOPS; performance.now() < end; ) {
    entered.process.stopThreads()[Symbol.dispose]();
    entered.process.withRemoteCalls((calls) => calls.call('gettid'));
  }
  waitUntil('it has waited twice', () => entered.counter('waits') >= 2n);
  assert.equal(entered.counter('spurious'), 0n);
  assert.equal(entered.counter('too_short'), 0n);
  return Number(entered.counter('longest_ms'));
}

describe('a thread that waits in a system call', { skip: CANNOT_TRACE }, () => {
  for (const call of ['nanosleep', 'poll', 'select', 'futex', 'epoll_wait', 'sigtimedwait', 'semtimedop', 'recv']) {
    it(`${call}: sees no interruption and wakes no sooner`, () => {
      let longest = stopped(call);
      if (BEGINS_ANEW.has(call)) return;
      for (let n = 1; n < TRIES && longest > WAIT + STOPS / 2; n++) longest = stopped(call);
      assert.ok(longest <= WAIT + STOPS / 2, `${longest} ms`);
    });
  }
});
