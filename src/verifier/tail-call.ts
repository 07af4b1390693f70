/**
 * Tail calls. Another program goes on in place of the function that makes one, and returns to that function's caller: so what a
 * function that may make one returns, nobody knows. Source: Linux kernel/bpf/verifier.c, check_max_stack_depth.
 */
import type { Prototype } from '../helpers/prototype.ts';
import { operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import type { LinkedProgram } from '../object/spec.ts';
import type { CallGraph } from './call-graph.ts';
import { refusal } from './errors.ts';
import { checkReferences } from './references.ts';
import { ANY } from './scalar.ts';
import { copyState, currentFrame } from './state.ts';
import { number, refuse, type Step } from './step.ts';

/** What functions may use together that wait for one that makes tail calls: each program that follows may use as much again. */
const MAX_STACK_ABOVE = 256;
/** Frames count in units of this many bytes. */
const FRAME_UNIT = 16;

/** The subprograms that make tail calls themselves, the main function among them. */
export function tailCallers(
  { insns, subprograms }: Pick<LinkedProgram, 'insns' | 'subprograms'>,
  helpers: ReadonlyMap<number, Pick<Prototype, 'leaves'>>,
): ReadonlySet<number> {
  const found = new Set<number>();
  let subprogram = 0;
  for (const [index, insn] of insns.entries()) {
    while (index >= (subprograms[subprogram + 1]?.start ?? Number.POSITIVE_INFINITY)) subprogram++;
    if (leaves(insn, helpers)) found.add(subprogram);
  }
  return found;
}

/** Whether an instruction is a call that may not come back. */
function leaves(insn: Insn, helpers: ReadonlyMap<number, Pick<Prototype, 'leaves'>>): boolean {
  const operation = operationOf(insn);
  return operation.kind === 'call' && operation.callee === 'helper' && helpers.get(insn.imm)?.leaves === true;
}

/** Leaves the way for later on which the function is done, and a program has gone on that returned anything. */
export function leaveByTailCall(step: Step): void {
  checkReferences(step, 0, 'tail_call');
  const { frames } = step.state;
  if (frames.some(({ callback }) => callback !== undefined)) {
    throw refuse(step, 'VERIFIER_UNSUPPORTED', 'tail calls are not allowed in functions that are called back');
  }
  if (frames.length === 1) return;
  const next = copyState(step.state);
  next.insn = next.frames.pop()!.call + 1;
  currentFrame(next).registers[0] = number(ANY);
  step.later(next);
}

/**
 * Checks that little stack is in use where a function makes tail calls.
 *
 * @param sizes of the subprograms' frames, in bytes
 * @throws {VerifierError} VERIFIER_STACK_TOO_LARGE
 */
export function checkTailCallStack(
  program: LinkedProgram,
  { calleesFirst, calls }: CallGraph,
  sizes: readonly number[],
  helpers: ReadonlyMap<number, Pick<Prototype, 'leaves'>>,
): void {
  const callers = tailCallers(program, helpers);
  const above = program.subprograms.map(() => 0);
  for (const caller of calleesFirst.toReversed()) {
    const used = above[caller]! + Math.ceil(sizes[caller]! / FRAME_UNIT) * FRAME_UNIT;
    for (const { insn, callee } of calls[caller]!) {
      above[callee] = Math.max(above[callee]!, used);
      if (!callers.has(callee) || used < MAX_STACK_ABOVE) continue;
      const reason = `tail_calls are not allowed when call stack of previous frames is ${used} bytes. Too large`;
      throw refusal(program, insn, 'VERIFIER_STACK_TOO_LARGE', reason);
    }
  }
}
