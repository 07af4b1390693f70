/** A program that adds one to a cell of shared memory, and nothing else: as good as one thread needs, or a count that only has to grow. */
import type { LoweredProgram } from '../../src/arch/x64/lower.ts';
import { at } from '../../src/arch/x64/memory.ts';
import { Reg } from '../../src/arch/x64/registers.ts';

/** The program that counts in `cell`, by its address in the target. */
export function countingProgram(cell: bigint): LoweredProgram {
  return {
    // The executable whose function is probed may be far away from what is shared: the address takes a register.
    clobbered: new Set([Reg.RAX]),
    changes: new Set(),
    reads: new Set(),
    stackBytes: 0,
    result: undefined,
    emitBody(a) {
      a.movImm(Reg.RAX, cell);
      a.inc(at(Reg.RAX));
    },
    emitFunctions() {},
  };
}
