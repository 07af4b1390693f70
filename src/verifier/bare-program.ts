/** Bare bytecode as a program: no maps, no names, no source. What `vm` runs and tests are made of. */
import { subprogramStarts } from '../insn/control-flow.ts';
import type { Insn } from '../insn/insn.ts';
import type { LinkedProgram, Reference } from '../object/spec.ts';

/**
 * Finds the functions of laid-out instructions by the local calls to them.
 *
 * @param references what the lddw at an index loads, where that is not its number
 * @throws {InsnError} INSN_BAD_TARGET if a call goes nowhere
 */
export function bareProgram(
  name: string,
  insns: readonly Insn[],
  references: ReadonlyMap<number, Reference> = new Map(),
): LinkedProgram {
  const subprograms = subprogramStarts(insns).map((start) => ({
    name: start === 0 ? name : `${name}_${insns[start]!.slot}`,
    start,
    linkage: 'static' as const,
  }));
  return { name, section: '', insns, references, subprograms, lines: new Map() };
}
