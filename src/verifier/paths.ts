/** Refuses what no path leads to. */
import type { SubprogramFlow } from '../insn/control-flow.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { refusal } from './errors.ts';

/** Walks every block of a function. @throws {VerifierError} VERIFIER_UNREACHABLE */
export function checkReachable(program: LinkedProgram, { blocks }: SubprogramFlow): void {
  const seen = new Set([0]);
  // A Set's iteration goes on to what is added meanwhile.
  for (const block of seen) for (const successor of blocks[block]!.successors) seen.add(successor);
  const dead = blocks.find((_, block) => !seen.has(block));
  if (dead === undefined) return;
  const { slot } = program.insns[dead.start]!;
  throw refusal(program, dead.start, 'VERIFIER_UNREACHABLE', `unreachable insn ${slot}`);
}
