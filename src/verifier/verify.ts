/**
 * The verifier: proves that a program ends, reads and writes only what it may, and calls helpers by their contracts; or
 * says where it does not.
 */
import { BtfError } from '../btf/errors.ts';
import { controlFlow, type SubprogramFlow } from '../insn/control-flow.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { type CallGraph, callGraph, checkStack } from './call-graph.ts';
import type { VerifiedProgram } from './check-structure.ts';
import { withoutDeadBranches } from './dead-branches.ts';
import { refusal, VerifierError } from './errors.ts';
import { initialState } from './global-function.ts';
import { GlobalSignatures } from './global-signatures.ts';
import { checkLayout } from './instructions.ts';
import { checkMaps } from './map-policy.ts';
import type { VerifyOptions } from './options.ts';
import { checkReachable } from './paths.ts';
import { findPlaces } from './places.ts';
import { Search } from './search.ts';
import type { Places } from './stored-states.ts';
import { checkTailCallStack } from './tail-call.ts';

const MAX_INSNS = 1_000_000;

/** How much work a verdict was. */
export interface Effort {
  /** Instructions stepped over, on all paths. */
  readonly insnsProcessed: number;
  /** Most states kept at once. */
  readonly peakStates: number;
}

/** What the verifier found. */
export type Verdict =
  | { readonly verdict: 'accept'; readonly program: VerifiedProgram; readonly effort: Effort }
  | { readonly verdict: 'reject'; readonly error: VerifierError; readonly effort: Effort };

/** Verifies one program. */
export function verify(program: LinkedProgram, options: VerifyOptions): Verdict {
  const effort = { insnsProcessed: 0, peakStates: 0 };
  try {
    return { verdict: 'accept', program: prove(program, options, effort), effort };
  } catch (error) {
    return { verdict: 'reject', error: asRefusal(program, error), effort };
  }
}

/** What the object's types are wrong in is the program's fault that needs them; anything else is no verdict. */
function asRefusal(program: LinkedProgram, error: unknown): VerifierError {
  if (error instanceof VerifierError) return error;
  if (!(error instanceof BtfError)) throw error;
  return refusal(program, 0, 'VERIFIER_BAD_TYPES', error.message);
}

function prove(
  program: LinkedProgram,
  options: VerifyOptions,
  effort: { -readonly [K in keyof Effort]: Effort[K] },
): VerifiedProgram {
  const count = program.insns.length;
  if (count === 0 || count > MAX_INSNS) {
    throw refusal(program, 0, 'VERIFIER_TOO_LARGE', `it has ${count} instructions, wanted 1 to ${MAX_INSNS}`);
  }
  checkLayout(program);
  const { search, graph } = follow(program, options, effort);
  const frameSizes = search.stackUse.map((bytes) => Math.ceil(bytes / 8) * 8);
  const stackSize = checkStack(program, graph, search.countedStack);
  checkTailCallStack(program, graph, search.countedStack, options.helpers);
  const insns = withoutDeadBranches(program.insns, search.reached);
  let flow: SubprogramFlow[] | undefined;
  return {
    ...program,
    insns,
    // Only who compiles it asks.
    get flow() {
      flow ??= controlFlow(insns, startsOf(program));
      return flow;
    },
    frameSizes,
    stackSize,
    contextSize: search.contextUse,
    innerMaps: search.innerMaps,
  } as unknown as VerifiedProgram;
}

/** Follows all paths. */
function follow(
  program: LinkedProgram,
  options: VerifyOptions,
  effort: { -readonly [K in keyof Effort]: Effort[K] },
): { search: Search; graph: CallGraph } {
  const { graph, places } = survey(program, options);
  const globals = new GlobalSignatures(program, options);
  const search = new Search({ program, options, places, globals, calleeAt: graph.calleeAt });
  try {
    search.run(initialState(0, 0, [{ kind: 'context' }]));
    for (const { subprogram, parameters } of globals.called()) {
      search.run(initialState(subprogram, program.subprograms[subprogram]!.start, parameters));
    }
  } finally {
    effort.insnsProcessed = search.insnsProcessed;
    effort.peakStates = search.peakStates;
  }
  return { search, graph };
}

/** Looks at the whole before any path is followed. The blocks of a large program are much: nothing here keeps them. */
function survey(program: LinkedProgram, options: VerifyOptions): { graph: CallGraph; places: Places } {
  const flows = controlFlow(program.insns, startsOf(program));
  for (const flow of flows) checkReachable(program, flow);
  const graph = callGraph(program);
  checkMaps(program, options);
  return { graph, places: findPlaces(program, flows, graph, options.helpers) };
}

function startsOf({ subprograms }: LinkedProgram): number[] {
  return subprograms.map(({ start }) => start);
}
