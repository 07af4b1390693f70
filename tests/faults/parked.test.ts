/**
 * Faults A4 and A5: a thread that stands, or was interrupted by a signal, at each instruction that a jump replaces, and at
 * each one of a trampoline that is taken away. A stepper leads it there: nothing is left to chance.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { type BpfLink, type BpfObject, openObject } from '../../src/index.ts';
import { objectFile } from '../support/objects.ts';
import { STEPPED, SteppedTarget } from '../support/stepped-target.ts';

const { SIGURG } = constants.signals;

/** Instructions behind the first that the jump at a function takes away, the probed one at offset 0 of `from`. */
const REPLACED: Readonly<Record<(typeof STEPPED)[number], { readonly from: number; readonly count: number }>> = {
  pushes: { from: 0, count: 5 },
  frame: { from: 0, count: 3 },
  branded: { from: 1, count: 3 },
  brief: { from: 0, count: 2 },
  nested: { from: 0, count: 2 },
};

const attach = (object: BpfObject, stepped: SteppedTarget, name: string): BpfLink =>
  object.program('on_call').attachUprobe(stepped.target, `stepped:${name}`);

/** Rounds that it makes while `body` runs and up to a pause: each calls every function once. */
function assertCounts(stepped: SteppedTarget, link: BpfLink, begun: bigint, name: string): void {
  stepped.runOn();
  stepped.stop();
  assert.equal(link.hits, stepped.get('made') - begun, name);
  assert.equal(stepped.get('wrong'), 0n, name);
  stepped.start();
}

describe('a thread at an instruction that a jump replaces', () => {
  it('A4: goes on in the trampoline when it was stopped there', () => {
    using stepped = new SteppedTarget();
    using object = openObject(objectFile('count'));
    stepped.start();
    let parked = 0;
    for (const name of STEPPED) {
      const { from, count } = REPLACED[name];
      const addresses = stepped.instructionsOf(name).slice(from, from + count);
      for (const address of addresses) {
        stepped.park(stepped.stepTo((rip) => rip === address));
        const made = stepped.get('made');
        const link = attach(object, stepped, name);
        assert.notDeepEqual(stepped.changedCode(), [], `${name} is patched`);
        stepped.continue();
        // Who stands at the first instruction is still to be counted, who is behind it is not.
        assertCounts(stepped, link, address === addresses[0] ? made : made + 1n, name);
        link.detach();
        assert.deepEqual(stepped.changedCode(), []);
        parked++;
      }
    }
    assert.equal(parked, 15);
  });

  for (const [title, args, deep] of [
    ['A5: goes on in the trampoline when its signal handler returns', [], 0n],
    ['A5: the same, the handler on a stack of its own', ['altstack'], 0n],
    ['A5: the same, the handler with 100 KB of stack in use', [], 100_000n],
  ] as const) {
    it(title, () => {
      using stepped = new SteppedTarget(...args);
      using object = openObject(objectFile('count'));
      stepped.set('deep', deep);
      stepped.start();
      for (const name of STEPPED) {
        const { from, count } = REPLACED[name];
        const addresses = stepped.instructionsOf(name).slice(from, from + count);
        for (const address of addresses) {
          stepped.handleAt((rip) => rip === address, SIGURG);
          const made = stepped.get('made');
          const link = attach(object, stepped, name);
          stepped.releaseHandler();
          assertCounts(stepped, link, address === addresses[0] ? made : made + 1n, name);
          link.detach();
        }
      }
      object[Symbol.dispose]();
      assert.deepEqual(stepped.changedCode(), []);
    });
  }
});
