/** The child of guarded-runs.test.ts: runs the programs of the seeds it is sent, and dies of one that escapes. */
import { assemble } from '../../src/insn/assemble.ts';
import { type GuardedBatch, GuardedMemory, runGuarded } from './guarded-runs.ts';

const memory = new GuardedMemory();

process.on('message', (asked: GuardedBatch | { readonly unproven: string }) => {
  if ('unproven' in asked) memory.runUnproven(assemble(asked.unproven));
  process.send?.('unproven' in asked ? { programs: 1, runs: 1 } : runGuarded(memory, asked));
});
