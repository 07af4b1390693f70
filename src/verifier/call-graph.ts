/** Who calls whom, and how deep the stack gets. */
import { operationOf } from '../insn/form.ts';
import { SlotMap } from '../insn/layout.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { refusal } from './errors.ts';

/** Calls between subprograms, which are named by their index in `subprograms`. */
export interface CallGraph {
  /** Every subprogram once, behind all that it calls. */
  readonly calleesFirst: readonly number[];
  /** Index of a local call, or of a lddw that takes a function's address -> the subprogram. */
  readonly calleeAt: ReadonlyMap<number, number>;
  /** By caller, in order of instructions. */
  readonly calls: readonly (readonly Call[])[];
}

interface Call {
  /** Index of the instruction. */
  readonly insn: number;
  readonly callee: number;
}

/** The kernel's MAX_CALL_FRAMES. */
const MAX_FRAMES = 8;
/** The kernel's MAX_BPF_STACK, for all frames together. */
const MAX_STACK = 512;
/** Frames count in units of this many bytes, as in the kernel when it compiles. */
const FRAME_UNIT = 16;

/**
 * Finds the calls of a program whose instructions have been checked. Taking a function's address counts as calling it.
 *
 * @throws {VerifierError} VERIFIER_RECURSION, VERIFIER_TOO_MANY_FRAMES
 */
export function callGraph(program: LinkedProgram): CallGraph {
  const calleeAt = findCallees(program);
  const calls = groupByCaller(program, calleeAt);
  const calleesFirst: number[] = [];
  const done = new Set<number>();
  const active: number[] = [];

  const visit = (subprogram: number): void => {
    active.push(subprogram);
    for (const { insn, callee } of calls[subprogram]!) {
      if (active.includes(callee)) {
        const name = program.subprograms[callee]!.name;
        throw refusal(
          program,
          insn,
          'VERIFIER_RECURSION',
          `recursive call from insn ${program.insns[insn]!.slot} to ${name}()`,
        );
      }
      if (done.has(callee)) continue;
      if (active.length === MAX_FRAMES) throw tooDeep(program, insn);
      visit(callee);
    }
    active.pop();
    done.add(subprogram);
    calleesFirst.push(subprogram);
  };
  program.subprograms.forEach((_, subprogram) => {
    if (!done.has(subprogram)) visit(subprogram);
  });
  return { calleesFirst, calleeAt, calls };
}

/**
 * The deepest stack that a chain of calls names, in bytes.
 *
 * @throws {VerifierError} VERIFIER_TOO_MANY_FRAMES, VERIFIER_STACK_TOO_LARGE
 */
export function checkStack(program: LinkedProgram, graph: CallGraph, namedSizes: readonly number[]): number {
  const deepest: { frames: number; bytes: number }[] = [];
  for (const subprogram of graph.calleesFirst) {
    const own = Math.ceil(namedSizes[subprogram]! / FRAME_UNIT) * FRAME_UNIT;
    const worst = { frames: 1, bytes: own };
    for (const { insn, callee } of graph.calls[subprogram]!) {
      const below = deepest[callee]!;
      worst.frames = Math.max(worst.frames, 1 + below.frames);
      worst.bytes = Math.max(worst.bytes, own + below.bytes);
      if (worst.frames > MAX_FRAMES) throw tooDeep(program, insn);
      if (worst.bytes > MAX_STACK) {
        throw refusal(
          program,
          insn,
          'VERIFIER_STACK_TOO_LARGE',
          `combined stack size of ${worst.frames} calls is ${worst.bytes}. Too large`,
        );
      }
    }
    deepest[subprogram] = worst;
  }
  return deepest[0]!.bytes;
}

function findCallees({ insns, subprograms, references }: LinkedProgram): Map<number, number> {
  const slots = new SlotMap(insns);
  const subprogramAt = new Map(subprograms.map(({ start }, subprogram) => [start, subprogram]));
  const calleeAt = new Map<number, number>();
  for (let index = 0; index < insns.length; index++) {
    const insn = insns[index]!;
    const operation = operationOf(insn);
    const reference = references.get(index);
    if (reference?.kind === 'function') calleeAt.set(index, subprogramAt.get(reference.insn)!);
    if (operation.kind === 'call' && operation.callee === 'local') {
      calleeAt.set(index, subprogramAt.get(slots.target(insn)!)!);
    }
  }
  return calleeAt;
}

function groupByCaller({ subprograms }: LinkedProgram, calleeAt: ReadonlyMap<number, number>): Call[][] {
  const calls: Call[][] = subprograms.map(() => []);
  let caller = 0;
  for (const [insn, callee] of calleeAt) {
    while (insn >= (subprograms[caller + 1]?.start ?? Number.POSITIVE_INFINITY)) caller++;
    calls[caller]!.push({ insn, callee });
  }
  return calls;
}

function tooDeep(program: LinkedProgram, insn: number): Error {
  return refusal(program, insn, 'VERIFIER_TOO_MANY_FRAMES', `the call stack of ${MAX_FRAMES} frames is too deep !`);
}
