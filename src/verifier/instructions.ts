/** Checks that look at one instruction at a time: where it jumps, what it calls, loads and writes. */
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { isKernelFunction, NO_KERNEL_FUNCTION } from '../insn/kernel-functions.ts';
import { SlotMap, slotCount, targetSlot } from '../insn/layout.ts';
import { FRAME_POINTER } from '../insn/opcode.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { effectsOf } from './effects.ts';
import { refusal, type VerifierErrorCode } from './errors.ts';

/** Why an instruction is refused. */
type Reason = readonly [code: VerifierErrorCode, message: string];

/** What an instruction is judged by. */
interface Place {
  readonly program: LinkedProgram;
  readonly helpers: ReadonlyMap<number, unknown>;
  readonly slots: SlotMap;
  /** Indexes where functions begin. */
  readonly starts: ReadonlySet<number>;
  /** The function around the instruction: index of its first, and behind its last. */
  readonly start: number;
  readonly end: number;
  readonly index: number;
  readonly insn: Insn;
}

type Check = (place: Place) => Reason | undefined;

/** What the compiler of any code relies on. */
const LAYOUT_CHECKS: readonly Check[] = [checkTarget, checkLocalCall, checkKernelFunction, checkLddw, checkEnd];
/** What a path that is never taken may do all the same. */
const CODE_CHECKS: readonly Check[] = [checkWrite, checkCallee];

/**
 * Checks what the layout of code is made of, whether a path goes there or not.
 *
 * @throws {VerifierError} VERIFIER_BAD_JUMP, VERIFIER_BAD_CALL, VERIFIER_KFUNC, VERIFIER_UNRESOLVED, VERIFIER_FALL_THROUGH
 */
export function checkLayout(program: LinkedProgram): void {
  checkEach(program, new Map(), LAYOUT_CHECKS);
}

/**
 * Checks what instructions do that needs no knowledge of values.
 *
 * @throws {VerifierError} VERIFIER_FRAME_POINTER, VERIFIER_UNKNOWN_HELPER, VERIFIER_KFUNC
 */
export function checkCode(program: LinkedProgram, helpers: ReadonlyMap<number, unknown>): void {
  checkEach(program, helpers, CODE_CHECKS);
}

function checkEach(program: LinkedProgram, helpers: ReadonlyMap<number, unknown>, checks: readonly Check[]): void {
  const { insns, subprograms } = program;
  const slots = new SlotMap(insns);
  const starts = new Set(subprograms.map(({ start }) => start));
  subprograms.forEach(({ start }, subprogram) => {
    const end = subprograms[subprogram + 1]?.start ?? insns.length;
    // One for all: large programs make another for each instruction slow.
    const place = { program, helpers, slots, starts, start, end, index: start, insn: insns[start]! };
    for (let index = start; index < end; index++) {
      place.index = index;
      place.insn = insns[index]!;
      for (const check of checks) {
        const reason = check(place);
        if (reason !== undefined) throw refusal(program, index, ...reason);
      }
    }
  });
}

function checkWrite({ insn }: Place): Reason | undefined {
  if (!effectsOf(insn).writes.includes(FRAME_POINTER)) return undefined;
  return ['VERIFIER_FRAME_POINTER', 'frame pointer is read only'];
}

function checkTarget({ program, insn, slots, start, end }: Place): Reason | undefined {
  const { kind } = operationOf(insn);
  if (kind !== 'jump' && kind !== 'branch' && kind !== 'mayGoto') return undefined;
  const slot = targetSlot(insn)!;
  const target = slots.index(slot);
  if (target !== undefined && target >= start && target < end) return undefined;
  const before = slots.index(slot - 1);
  return before !== undefined && slotCount(program.insns[before]!) === 2
    ? ['VERIFIER_BAD_JUMP', `jump into the middle of ldimm64 insn ${slot}`]
    : ['VERIFIER_BAD_JUMP', `jump out of range from insn ${insn.slot} to ${slot}`];
}

function checkLocalCall({ insn, slots, starts }: Place): Reason | undefined {
  const operation = operationOf(insn);
  if (operation.kind !== 'call' || operation.callee !== 'local') return undefined;
  const slot = targetSlot(insn)!;
  const isKnown = starts.has(slots.index(slot) ?? -1);
  return isKnown
    ? undefined
    : ['VERIFIER_BAD_CALL', `call from insn ${insn.slot} to ${slot}, where no function begins`];
}

/** One that is not here by its name may stand where no path leads: programs ask first. A number nobody gave may not. */
function checkKernelFunction({ insn }: Place): Reason | undefined {
  const operation = operationOf(insn);
  if (operation.kind !== 'call' || operation.callee !== 'kfunc') return undefined;
  if (insn.imm === NO_KERNEL_FUNCTION || isKernelFunction(insn.imm)) return undefined;
  return ['VERIFIER_KFUNC', `calling kernel function btf_id ${insn.imm} is not allowed outside the kernel`];
}

/** Which helper a call by register means only the running program knows. */
function checkCallee({ insn, helpers }: Place): Reason | undefined {
  const operation = operationOf(insn);
  if (operation.kind !== 'call') return undefined;
  if (operation.callee === 'kfunc') {
    return ['VERIFIER_KFUNC', `calling kernel function btf_id ${insn.imm} is not allowed outside the kernel`];
  }
  const isUnknown = operation.callee === 'helper' && !helpers.has(insn.imm);
  return isUnknown ? ['VERIFIER_UNKNOWN_HELPER', `invalid func unknown#${insn.imm}`] : undefined;
}

function checkLddw({ program, insn, index, starts }: Place): Reason | undefined {
  const operation = operationOf(insn);
  if (operation.kind !== 'lddw') return undefined;
  const reference = program.references.get(index);
  if (reference?.kind === 'function' && !starts.has(reference.insn)) {
    return ['VERIFIER_BAD_CALL', `insn ${insn.slot} refers to a function where none begins`];
  }
  if (reference !== undefined || operation.loads === 'number') return undefined;
  return ['VERIFIER_UNRESOLVED', `fd ${insn.imm} is not pointing to valid bpf_map: insn ${insn.slot} was not linked`];
}

function checkEnd({ insn, index, end }: Place): Reason | undefined {
  const { kind } = operationOf(insn);
  if (index + 1 < end || kind === 'exit' || kind === 'jump') return undefined;
  return ['VERIFIER_FALL_THROUGH', 'last insn is not an exit or jmp'];
}
