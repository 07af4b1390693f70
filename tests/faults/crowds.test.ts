/** Targets whose threads are many, short-lived, or in odd states: B1, B2, B3, B7. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Injection } from '../../src/inject/injection.ts';
import { readThreadFacts } from '../../src/runtime/target-facts.ts';
import { readThreadIds } from '../../src/sys/proc.ts';
import { EnteredTarget } from '../support/entered.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

describe('threads that come and go', () => {
  it('B1: what is learnt from a thread holds when it has ended, and its memory is gone', () => {
    using entered = new EnteredTarget('threads', ['1', 'fleeting']);
    const sleeper = readThreadIds(entered.pid).find((tid) => tid !== entered.pid)!;
    waitUntil('it sleeps', () => stateOf(sleeper) === 'S');
    using injection = new Injection(entered.process);
    const { thread } = injection.share(4096);
    assert.equal(thread.tid, sleeper);
    entered.set('go', 1);
    waitUntil('it has ended', () => entered.counter('churned') === 1n);
    assert.throws(() => entered.process.memory.read(thread.fsBase, 8), { code: 'SYS_EIO' });
    assert.deepEqual(readThreadFacts(entered.process, thread), { threadPointers: true, tidOffset: 720 });
  });
});
