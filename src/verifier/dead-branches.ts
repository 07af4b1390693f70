/** What no path goes is taken out: the compiler never sees code that was not proven. */

import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { Class, JumpCode } from '../insn/opcode.ts';

/** What was seen of an instruction: it was reached; a branch was passed, was taken. */
export const Reached = { YES: 1, PASSED: 2, TAKEN: 4 } as const;

const JUMP = Class.JMP | JumpCode.JA;

/** The instructions, with jumps in place of branches that always go one way. Their places stay the same. */
export function withoutDeadBranches(insns: readonly Insn[], reached: Uint8Array): Insn[] {
  return insns.map((insn, index) => {
    const { kind } = operationOf(insn);
    const seen = reached[index]!;
    if (kind !== 'branch' || (seen & Reached.YES) === 0) return insn;
    const isPassed = (seen & Reached.PASSED) !== 0;
    const isTaken = (seen & Reached.TAKEN) !== 0;
    if (isPassed && isTaken) return insn;
    return { opcode: JUMP, dst: 0, src: 0, offset: isTaken ? insn.offset : 0, imm: 0, slot: insn.slot };
  });
}
