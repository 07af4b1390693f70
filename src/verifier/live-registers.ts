/** Which registers an instruction, or one that may come after it, reads before it is written: others need not agree. */
import type { SubprogramFlow } from '../insn/control-flow.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { FRAME_POINTER } from '../insn/opcode.ts';
import { effectsOf } from './effects.ts';

const MAX_ARGUMENTS = 5;

/**
 * The live registers before each instruction of the given functions, a bit each.
 *
 * @param argumentCount how many arguments the helper of a number reads
 */
export function liveRegisters(
  insns: readonly Insn[],
  flows: readonly SubprogramFlow[],
  argumentCount: (helper: number) => number,
): Uint16Array {
  const live = new Uint16Array(insns.length);
  const reads = new Uint16Array(insns.length);
  const writes = new Uint16Array(insns.length);
  for (let index = 0; index < insns.length; index++) {
    const insn = insns[index]!;
    const effects = effectsOf(insn);
    reads[index] = setOf(effects.reads) | argumentsOf(insn, argumentCount);
    writes[index] = setOf(effects.writes);
  }
  for (const { blocks } of flows) {
    // Backwards until nothing changes: in most functions that is twice.
    for (let changed = true; changed; ) {
      changed = false;
      for (let block = blocks.length - 1; block >= 0; block--) {
        const { start, end, successors } = blocks[block]!;
        let after = 0;
        for (const successor of successors) after |= live[blocks[successor]!.start]!;
        for (let index = end - 1; index >= start; index--) {
          after = reads[index]! | (after & ~writes[index]!);
          if (live[index] !== after && index === start) changed = true;
          live[index] = after;
        }
      }
    }
  }
  return live;
}

function setOf(registers: readonly number[]): number {
  let set = 0;
  for (const register of registers) if (register !== FRAME_POINTER) set |= 1 << register;
  return set;
}

function argumentsOf(insn: Insn, argumentCount: (helper: number) => number): number {
  const operation = operationOf(insn);
  if (operation.kind !== 'call') return 0;
  const isKnown = operation.callee === 'helper' || operation.callee === 'kfunc';
  const count = isKnown ? argumentCount(insn.imm) : MAX_ARGUMENTS;
  return ((1 << count) - 1) << 1;
}
