/** Makes a program as small as it can be while something stays true of it. */
import * as build from '../../src/insn/build.ts';
import { formOf } from '../../src/insn/form.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import { type EditLine, linesOf, programOf, without } from './program-edits.ts';

/** @param holds what stays true; it is true of `program` itself */
export function minimise(program: LinkedProgram, holds: (program: LinkedProgram) => boolean): LinkedProgram {
  let lines = linesOf(program);
  let best = program;
  const keepIf = (candidate: readonly EditLine[]): boolean => {
    const made = candidate.length === 0 ? undefined : programOf(program.name, candidate);
    if (made === undefined || !holds(made)) return false;
    best = made;
    lines = [...candidate];
    return true;
  };
  for (let before = -1; before !== lines.length; ) {
    before = lines.length;
    for (let count = Math.max(1, lines.length >> 1); count > 0; count >>= 1) {
      for (let at = lines.length - count; at >= 0; at--) {
        if (at + count <= lines.length) keepIf(without(lines, at, count));
      }
    }
    for (let at = 0; at < lines.length; at++)
      for (const simpler of simplerLines(lines[at]!)) keepIf(lines.with(at, simpler));
  }
  return best;
}

/** What could stand in place of a line and says less. */
function simplerLines(line: EditLine): EditLine[] {
  const { insn, target, reference } = line;
  const { operands, operation } = formOf(insn);
  if (target !== undefined || reference !== undefined) return [];
  const simpler: EditLine[] = [];
  if (operands.includes('imm') && insn.imm !== 0) {
    for (const imm of [0, 1]) if (insn.imm !== imm) simpler.push({ ...line, insn: { ...insn, imm } });
  }
  if (operands.includes('dst') && operation.kind !== 'alu') simpler.push({ ...line, insn: build.mov(insn.dst, 0) });
  return simpler;
}
