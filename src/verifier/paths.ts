/** Refuses what no path leads to. */
import type { SubprogramFlow } from '../insn/control-flow.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { refusal } from './errors.ts';

/** Walks every block of a function. @throws {VerifierError} VERIFIER_UNREACHABLE */
export function checkReachable(program: LinkedProgram, { blocks }: SubprogramFlow): void {
  const seen = new Uint8Array(blocks.length);
  const pending = [0];
  for (let block = pending.pop(); block !== undefined; block = pending.pop()) {
    if (seen[block] === 1) continue;
    seen[block] = 1;
    pending.push(...blocks[block]!.successors);
  }
  const dead = blocks[seen.indexOf(0)];
  if (dead === undefined) return;
  const { slot } = program.insns[dead.start]!;
  throw refusal(program, dead.start, 'VERIFIER_UNREACHABLE', `unreachable insn ${slot}`);
}
