/** Fault C4: pointers of every kind given to helpers that read: -EFAULT and zeroes, and no signal for the target. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

/** Helpers that the program calls at each hit. */
const HELPERS = 3n;

describe('a pointer given to a helper that reads', () => {
  for (const [kind, what, outcome] of [
    ['good', 'to memory', 'read'],
    ['last', 'to the last word of a page', 'read'],
    ['constant', 'to a constant of the program', 'read'],
    ['variable', 'to a variable of a program that protects memory', 'read'],
    ['stack', 'to the page of the stack', 'read'],
    ['across', 'across the end of the page of the stack, behind which none may be read', 'fails'],
    ['none', 'to memory that may not be read', 'fails'],
    ['unmapped', 'to no memory', 'fails'],
    ['0', 'that is null', 'fails'],
    ['0xffff888000000000', 'to the kernel', 'fails'],
    ['0x7fffffffeffc', 'to the last bytes a process may have', 'fails'],
    ['0x800000000000', 'to the first address that is none', 'fails'],
    ['0xdeadbeefdeadbeef', 'that is not canonical', 'fails'],
    ['0xfffffffffffffffc', 'that wraps around', 'fails'],
    ['vanishing', 'to a page that comes and goes meanwhile', 'read or fails'],
  ] as const) {
    it(`C4: ${what}: ${outcome}`, () => {
      using faults = new FaultsTarget(kind, 0, 'reads');
      using object = openObject(objectFile('reads'));
      const link = object.program('on_touch').attachUprobe(faults.target, 'reads:touch');
      const counts = () => object.map('.bss').entries()[0]!.value as Record<'done' | 'failed' | 'wrong', number>;
      if (outcome === 'read or fails') {
        faults.start();
        waitUntil('it did both', () => counts().done > 0 && counts().failed > 0, 60_000);
      }
      faults.runUntil('made', 10_000n);
      const { done, failed, wrong } = counts();
      const judged = BigInt(done + failed);
      assert.equal(judged, link.hits * HELPERS);
      assert.ok(link.hits >= faults.get('made'));
      assert.equal(wrong, 0);
      if (outcome === 'read') assert.equal(failed, 0);
      if (outcome === 'fails') assert.equal(done, 0);
      assert.deepEqual([faults.get('handled'), faults.get('wrong')], [0n, 0n]);
      object[Symbol.dispose]();
      assert.deepEqual(faults.changedCode(), []);
    });
  }
});
