/** The child of guarded-runs.test.ts: runs the programs of the seeds it is sent, and dies of one that escapes. */
import { assemble } from '../../src/insn/assemble.ts';
import { type GuardedBatch, GuardedMemory, type GuardedTally, runGuarded } from './guarded-runs.ts';

const memory = new GuardedMemory();

process.on('message', (asked: GuardedBatch | { readonly unproven: string }) => process.send?.(answer(asked)));

/** What goes wrong without harm to the process is told: it is no escape. */
function answer(asked: GuardedBatch | { readonly unproven: string }): GuardedTally | { readonly failed: string } {
  try {
    if (!('unproven' in asked)) return runGuarded(memory, asked);
    memory.runUnproven(assemble(asked.unproven));
    return { programs: 1, runs: 1 };
  } catch (error) {
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
