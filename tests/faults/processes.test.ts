/** Processes that come and go while programs are attached to them: many at a time, forks, replaced programs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';

describe('one controller and many processes', { skip: CANNOT_TRACE }, () => {
  it('K5: what all of them call is counted, in maps that they share, and each is left as it was', () => {
    const count = repetitions(20, 100);
    const targets = Array.from({ length: count }, () => new CallsTarget(1));
    const entered = targets.map(({ pid }) => openProcess(pid));
    const before = entered.map(footprint);
    const object = openObject(objectFile('count'));
    const links = entered.map((target) => object.program('on_call').attachUprobe(target, 'calls:work'));
    for (const target of targets) target.call(1000);
    for (const { hits } of links) assert.equal(hits, 1000n);
    object[Symbol.dispose]();
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 1000 * count }]);
    assert.deepEqual(entered.map(footprint), before);
    for (const target of entered) target[Symbol.dispose]();
    for (const target of targets) {
      target.call(10);
      assert.equal(target.wrong, 0n);
      target[Symbol.dispose]();
    }
  });
});
