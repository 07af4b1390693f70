/** Stopping threads and letting them go, so that the target cannot tell. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

describe('stopping threads', { skip: CANNOT_TRACE }, () => {
  for (const [count, mode] of [
    [1, 'spin'],
    [16, 'spin'],
    [256, 'idle'],
  ] as const) {
    it(`stops and releases ${count} threads (${mode})`, () => {
      using entered = new EnteredTarget('threads', [String(count), mode]);
      const before = footprint(entered.process);
      const held = entered.process.stopThreads();
      const atStop = entered.counter('rounds');
      assert.equal(held.threads.length, count);
      assert.equal(entered.counter('rounds'), atStop);
      held[Symbol.dispose]();
      waitUntil('it runs again', () => entered.counter('rounds') > atStop);
      assert.deepEqual(footprint(entered.process), before);
      assert.equal(entered.counter('damaged'), 0n);
      assert.ok(held.pauseMicroseconds > 0);
    });
  }

  it('stops every thread of a process that creates them all the time', () => {
    using entered = new EnteredTarget('threads', ['4', 'churn']);
    for (let i = 0; i < 50; i++) {
      using held = entered.process.stopThreads();
      const stopped = held.threads.map(({ tid }) => tid);
      const alive = readThreadIds(entered.pid).filter((tid) => !'ZX'.includes(stateOf(tid) ?? 'X'));
      assert.deepEqual(
        alive.filter((tid) => !stopped.includes(tid)),
        [],
      );
      for (const tid of alive) assert.equal(stateOf(tid), 't');
    }
    const before = entered.counter('churned');
    waitUntil('it creates threads again', () => entered.counter('churned') > before + 8n);
    assert.equal(entered.counter('damaged'), 0n);
  });

  for (const count of [2, 12]) {
    it(`loses no signal and adds none: ${count} threads`, () => {
      using entered = new EnteredTarget('threads', [String(count), 'signal']);
      for (let i = 0; i < 200; i++) entered.process.stopThreads()[Symbol.dispose]();
      const before = entered.counter('signals');
      waitUntil('the timer goes on', () => entered.counter('signals') > before + 10n);
      assert.equal(entered.counter('damaged'), 0n);
    });
  }

  it('is told of no thread that stops, and of children of ours again afterwards', async () => {
    using entered = new EnteredTarget('threads', ['12', 'idle']);
    let told = 0;
    const listener = () => {
      told++;
    };
    process.on('SIGCHLD', listener);
    for (let i = 0; i < 5; i++) entered.process.stopThreads()[Symbol.dispose]();
    // Signals are handed on in the order in which they came.
    await raise('SIGUSR2');
    assert.equal(told, 0);
    const child = spawn('sleep', ['60']);
    child.kill('SIGSTOP');
    while (told === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    process.off('SIGCHLD', listener);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('leaves a process stopped that a signal has stopped', () => {
    using entered = new EnteredTarget('threads', ['4', 'spin']);
    process.kill(entered.pid, 'SIGSTOP');
    waitUntil('it is stopped', () => readThreadIds(entered.pid).every((tid) => stateOf(tid) === 'T'));
    entered.process.stopThreads()[Symbol.dispose]();
    waitUntil('it is stopped again', () => readThreadIds(entered.pid).every((tid) => stateOf(tid) === 'T'));
    const before = entered.counter('rounds');
    assert.equal(entered.counter('rounds'), before);
    process.kill(entered.pid, 'SIGCONT');
    waitUntil('it goes on', () => entered.counter('rounds') > before);
  });

  it('is not traced any more afterwards', () => {
    using entered = new EnteredTarget('threads', ['8', 'idle']);
    entered.process.stopThreads()[Symbol.dispose]();
    for (const tid of readThreadIds(entered.pid)) assert.equal(readStatus(tid).tracer, 0);
  });
});

/** Sends ourselves a signal, and waits until it is handed on. */
async function raise(signal: NodeJS.Signals): Promise<void> {
  let came = false;
  process.once(signal, () => {
    came = true;
  });
  process.kill(process.pid, signal);
  while (!came) await new Promise((resolve) => setTimeout(resolve, 1));
}
