/** Which registers may still be read: so that paths only meet in a phi where it matters. */
import type { SubprogramFlow } from '../insn/control-flow.ts';
import type { Insn } from '../insn/insn.ts';
import { effectsOf } from '../verifier/effects.ts';

/** Registers r0 to r9 as bits. */
export type RegisterSet = number;

/**
 * The registers that may be read at or after the start of each block before they are written.
 *
 * @param argumentCount how many of r1 to r5 the call at an index takes
 */
export function liveAtStart(
  insns: readonly Insn[],
  { blocks }: SubprogramFlow,
  argumentCount: (insn: number) => number,
): RegisterSet[] {
  const effects = blocks.map(({ start, end }) => {
    let reads = 0;
    let writes = 0;
    for (let index = start; index < end; index++) {
      const effect = effectsOf(insns[index]!);
      reads |= (setOf(effect.reads) | argumentSet(argumentCount(index))) & ~writes;
      writes |= setOf(effect.writes);
    }
    return { reads, writes };
  });
  const live = effects.map(({ reads }) => reads);
  for (let changed = true; changed; ) {
    changed = false;
    for (let block = blocks.length - 1; block >= 0; block--) {
      const after = blocks[block]!.successors.reduce((set, successor) => set | live[successor]!, 0);
      const before = effects[block]!.reads | (after & ~effects[block]!.writes);
      if (before === live[block]) continue;
      live[block] = before;
      changed = true;
    }
  }
  return live;
}

/** r1 to r(count) */
function argumentSet(count: number): RegisterSet {
  return ((1 << count) - 1) << 1;
}

function setOf(registers: readonly number[]): RegisterSet {
  return registers.reduce((set, register) => set | (1 << register), 0);
}
