/**
 * What can be told of a program without knowing what its values are: that control stays inside and ends, and meets only
 * initialised registers, known helpers and 512 bytes of stack. It does not look behind pointers: memory other than the
 * stack, arguments of helpers and the kind of what a register holds are for a full verifier.
 */
import type { Helper } from '../helpers/helper.ts';
import { controlFlow, type SubprogramFlow } from '../insn/control-flow.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { callGraph, checkStack } from './call-graph.ts';
import { refusal } from './errors.ts';
import { checkCode, checkLayout } from './instructions.ts';
import { checkRegisters, type FunctionSummary } from './registers.ts';

declare const verified: unique symbol;

/** A program that was accepted. Only this folder makes one, so no later stage has to ask. */
export interface VerifiedProgram extends LinkedProgram {
  readonly [verified]: true;
  /** The blocks of each subprogram, in the order of `subprograms`. */
  readonly flow: readonly SubprogramFlow[];
  /** How many bytes below the frame pointer each subprogram may touch: a multiple of 8, at most 512. */
  readonly frameSizes: readonly number[];
  /** Deepest stack that a chain of calls names, in bytes: a multiple of 16, at most 512; without spills around fast calls. */
  readonly stackSize: number;
  /** How many bytes of its context, from the beginning, it may touch, as far as that was followed. */
  readonly contextSize: number;
  /** Index of a call -> what all maps are like that it is given, where only the running program knows which it is. */
  readonly innerMaps: ReadonlyMap<number, MapSpec>;
}

/** What surrounds the program. */
export interface StructureOptions {
  /** The helpers it may call, by number. */
  readonly helpers: ReadonlyMap<number, Pick<Helper, 'args' | 'returns'>>;
  /** How many of r1 to r5 hold an argument when it starts. */
  readonly arguments: number;
}

const MAX_INSNS = 1_000_000;

/**
 * Checks a program's structure.
 *
 * @throws {VerifierError} each of its codes
 */
export function checkStructure(program: LinkedProgram, options: StructureOptions): VerifiedProgram {
  const { insns, subprograms } = program;
  if (insns.length === 0 || insns.length > MAX_INSNS) {
    throw refusal(program, 0, 'VERIFIER_TOO_LARGE', `it has ${insns.length} instructions, wanted 1 to ${MAX_INSNS}`);
  }
  checkLayout(program);
  checkCode(program, options.helpers);
  const flow = controlFlow(
    insns,
    subprograms.map(({ start }) => start),
  );

  const graph = callGraph(program);
  const summaries: FunctionSummary[] = [];
  for (const subprogram of graph.calleesFirst) {
    summaries[subprogram] = checkRegisters(program, flow[subprogram]!, {
      helpers: options.helpers,
      arguments: subprogram === 0 ? options.arguments : 'from caller',
      callee: (insn) => summaries[graph.calleeAt.get(insn)!]!,
    });
  }
  const frameSizes = summaries.map(({ frameSize }) => frameSize);
  const namedSizes = summaries.map(({ namedSize }) => namedSize);
  const stackSize = checkStack(program, graph, namedSizes);
  return {
    ...program,
    flow,
    frameSizes,
    stackSize,
    contextSize: 0,
    innerMaps: new Map(),
  } as unknown as VerifiedProgram;
}
