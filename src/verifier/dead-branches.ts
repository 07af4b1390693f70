/** What no path goes is taken out: the compiler never sees code that was not proven. */

import { type Operation, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { AluCode, Class, JumpCode } from '../insn/opcode.ts';

/** What was seen of an instruction: it was reached; a branch was passed, was taken; it accessed a context, other memory. */
export const Reached = { YES: 1, PASSED: 2, TAKEN: 4, CONTEXT: 8, MEMORY: 16 } as const;

const JUMP = Class.JMP | JumpCode.JA;

/** `mov32 r0, 0` */
const NOTHING: Insn = { opcode: Class.ALU | AluCode.MOV, dst: 0, src: 0, offset: 0, imm: 0, slot: 0 };

/** What makes blocks what they are, and what takes two slots. */
const CONTROL: ReadonlySet<Operation['kind']> = new Set(['jump', 'branch', 'mayGoto', 'exit', 'lddw']);

/**
 * The instructions, with jumps in place of branches that always go one way, and nothing where no path leads. Their places
 * stay the same.
 */
export function withoutDeadBranches(insns: readonly Insn[], reached: Uint8Array): readonly Insn[] {
  if (!insns.some((insn, index) => isDead(insn, reached[index]!))) return insns;
  return insns.map((insn, index) => {
    const { kind } = operationOf(insn);
    const seen = reached[index]!;
    if ((seen & Reached.YES) === 0) return CONTROL.has(kind) ? insn : { ...NOTHING, slot: insn.slot };
    if (kind !== 'branch') return insn;
    const isPassed = (seen & Reached.PASSED) !== 0;
    const isTaken = (seen & Reached.TAKEN) !== 0;
    if (isPassed && isTaken) return insn;
    return { opcode: JUMP, dst: 0, src: 0, offset: isTaken ? insn.offset : 0, imm: 0, slot: insn.slot };
  });
}

const BOTH_WAYS = Reached.YES | Reached.PASSED | Reached.TAKEN;

function isDead(insn: Insn, seen: number): boolean {
  return seen === 0 || (operationOf(insn).kind === 'branch' && seen !== BOTH_WAYS);
}
