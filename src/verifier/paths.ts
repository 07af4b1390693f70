/** Refuses what no path leads to, and, for programs nobody counts the iterations of, loops. */
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

/**
 * Walks every path of a function.
 *
 * @throws {VerifierError} VERIFIER_LOOP, VERIFIER_UNREACHABLE
 */
export function checkPaths(program: LinkedProgram, { blocks }: SubprogramFlow): void {
  const slotOf = (insn: number): number => program.insns[insn]!.slot;
  const seen = new Set([0]);
  const active = new Set([0]);
  // Not recursive: a program may be a chain of half a million blocks.
  const path = [{ block: 0, next: 0 }];
  for (let top = path.at(-1); top !== undefined; top = path.at(-1)) {
    const { successors, end } = blocks[top.block]!;
    const successor = successors[top.next++];
    if (successor === undefined) {
      active.delete(top.block);
      path.pop();
    } else if (active.has(successor)) {
      const to = blocks[successor]!.start;
      throw refusal(program, end - 1, 'VERIFIER_LOOP', `back-edge from insn ${slotOf(end - 1)} to ${slotOf(to)}`);
    } else if (!seen.has(successor)) {
      seen.add(successor);
      active.add(successor);
      path.push({ block: successor, next: 0 });
    }
  }
  const dead = blocks.find((_, block) => !seen.has(block));
  if (dead !== undefined) {
    throw refusal(program, dead.start, 'VERIFIER_UNREACHABLE', `unreachable insn ${slotOf(dead.start)}`);
  }
}
