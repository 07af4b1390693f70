/**
 * Registers that compilers keep in slots of the stack around a call of a helper that changes none but r0. The kernel takes
 * such slots out when it compiles and does not count them; programs are written against that.
 * Source: Linux kernel/bpf/verifier.c, mark_fastcall_pattern_for_call.
 */
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { FRAME_POINTER } from '../insn/opcode.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { VerifyOptions } from './options.ts';

const SLOT_SIZE = 8;
/** Registers that a call need not keep: r1 to r5. */
const MAX_PAIRS = 5;

/** 1 for the instructions that spill and fill registers around such calls. */
export function findFastcallSpills(
  { insns, subprograms }: LinkedProgram,
  helpers: VerifyOptions['helpers'],
): Uint8Array {
  const spills = new Uint8Array(insns.length);
  subprograms.forEach(({ start }, subprogram) => {
    const end = subprograms[subprogram + 1]?.start ?? insns.length;
    // The innermost pair has the lowest slot of the function.
    let lowest = 0;
    for (let index = start; index < end; index++) lowest = Math.min(lowest, slotOf(insns[index]!));
    for (let index = start; index < end; index++) {
      if (!isFastcall(insns[index]!, helpers)) continue;
      for (let distance = 1; distance <= MAX_PAIRS; distance++) {
        const before = index - distance >= start ? insns[index - distance]! : undefined;
        const after = index + distance < end ? insns[index + distance]! : undefined;
        if (!isPair(before, after, lowest + (distance - 1) * SLOT_SIZE)) break;
        spills[index - distance] = 1;
        spills[index + distance] = 1;
      }
    }
  });
  return spills;
}

function isFastcall(insn: Insn, helpers: VerifyOptions['helpers']): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'helper' && helpers.get(insn.imm)?.fastcall === true;
}

function isPair(before: Insn | undefined, after: Insn | undefined, offset: number): boolean {
  if (before === undefined || after === undefined) return false;
  const [spill, fill] = [operationOf(before), operationOf(after)];
  return (
    spill.kind === 'store' && spill.size === SLOT_SIZE && spill.operand === 'src' && before.dst === FRAME_POINTER &&
    fill.kind === 'load' && fill.size === SLOT_SIZE && after.src === FRAME_POINTER &&
    before.offset === offset && after.offset === offset &&
    before.src === after.dst && before.src >= 1 && before.src <= MAX_PAIRS
  ); // biome-ignore format: the two sides of a pair
}

/** The distance of a load or store from the frame pointer; 0 for anything else. */
function slotOf(insn: Insn): number {
  const { kind } = operationOf(insn);
  if (kind === 'load') return insn.src === FRAME_POINTER ? insn.offset : 0;
  return (kind === 'store' || kind === 'atomic') && insn.dst === FRAME_POINTER ? insn.offset : 0;
}
