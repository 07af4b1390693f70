import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from './assemble.ts';
import { controlFlow, subprogramStarts } from './control-flow.ts';
import { InsnError } from './errors.ts';
import { layOut, SlotMap } from './layout.ts';

/** Blocks as 'start-end>successors', functions parted by ' | '. */
function flowOf(text: string): string {
  const insns = assemble(text);
  return controlFlow(insns, subprogramStarts(insns))
    .map(({ blocks }) => blocks.map(({ start, end, successors }) => `${start}-${end}>${successors}`).join(' '))
    .join(' | ');
}

describe('control flow', () => {
  for (const [what, text, flow] of [
    ['a straight line', 'mov r0, 0\nexit', '0-2>'],
    ['a branch: falling through comes first', 'jeq r1, 0, +1\nmov r0, 1\nexit', '0-1>1,2 1-2>2 2-3>'],
    ['a branch to the next instruction', 'jeq r1, 0, +0\nexit', '0-1>1,1 1-2>'],
    ['a loop', 'top: add r1, -1\njne r1, 0, top\nexit', '0-2>1,0 2-3>'],
    ['a jump over a lddw, which is one index', 'ja +2\nlddw r0, 1\nexit', '0-1>2 1-2>2 2-3>'],
    ['two functions', 'call local f\nexit\nf: ja32 +0\nexit', '0-2> | 2-3>1 3-4>'],
  ] as const) {
    it(`of ${what}`, () => assert.equal(flowOf(text), flow));
  }

  for (const [what, text] of [
    ['a jump behind the end', 'ja +1\nexit'],
    ['a jump before the start', 'ja -2\nexit'],
    ['a jump into a lddw', 'ja +1\nlddw r0, 1\nexit'],
    ['a jump into another function', 'call local f\nja f\nf: exit'],
    ['a function that falls off its end', 'call local f\nmov r0, 0\nf: exit'],
    ['a call to nowhere', 'call local +7\nexit'],
  ] as const) {
    it(`refuses ${what} with INSN_BAD_TARGET`, () => {
      assert.throws(
        () => flowOf(text),
        (error) => error instanceof InsnError && error.code === 'INSN_BAD_TARGET',
      );
    });
  }
});

describe('slots', () => {
  const insns = assemble('lddw r0, 1\nja +0\nexit');

  it('are laid one behind the other', () => {
    const shuffled = insns.map((insn) => ({ ...insn, slot: 0 }));
    assert.deepEqual(layOut(shuffled), insns);
  });

  it('map to indexes, and those inside a lddw or outside to none', () => {
    const slots = new SlotMap(insns);
    assert.deepEqual(
      [-1, 0, 1, 2, 3, 4].map((slot) => slots.index(slot)),
      [undefined, 0, undefined, 1, 2, undefined],
    );
    assert.deepEqual(
      insns.map((insn) => slots.target(insn)),
      [undefined, 2, undefined],
    );
  });
});
