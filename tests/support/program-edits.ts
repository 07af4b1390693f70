/** Programs as lines whose jumps name lines, so that lines can be taken out and changed: for mutations and minimising. */

import { FORMS, type Form, formOf, formsOf, operationOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { layOut, SlotMap, targetSlot } from '../../src/insn/layout.ts';
import type { LinkedProgram, Reference } from '../../src/object/spec.ts';
import type { Random } from './random-program.ts';

/** One instruction, and where it leads. */
export interface EditLine {
  readonly insn: Insn;
  /** Index of the line it jumps to, calls, or takes the address of. */
  readonly target: number | undefined;
  /** What a lddw loads, if that is no function. */
  readonly reference: Reference | undefined;
}

/** True if every jump of a program leads to an instruction: only then it can be written as lines. */
export function canBeEdited({ insns }: LinkedProgram): boolean {
  const slots = new SlotMap(insns);
  return insns.every((insn) => {
    const slot = targetSlot(insn);
    return slot === undefined || slots.index(slot) !== undefined;
  });
}

/** A program as lines. @throws {InsnError} INSN_BAD_TARGET */
export function linesOf({ insns, references }: LinkedProgram): EditLine[] {
  const slots = new SlotMap(insns);
  return insns.map((insn, index) => {
    const reference = references.get(index);
    return reference?.kind === 'function'
      ? { insn, target: reference.insn, reference: undefined }
      : { insn, target: slots.target(insn), reference };
  });
}

/** Lines as a program again; undefined if a jump leads out of them or too far. All functions are static. */
export function programOf(name: string, lines: readonly EditLine[]): LinkedProgram | undefined {
  const laid = layOut(lines.map(({ insn }) => insn));
  const references = new Map<number, Reference>();
  const starts = new Set([0]);
  const insns: Insn[] = [];
  for (const [index, insn] of laid.entries()) {
    const { target, reference } = lines[index]!;
    if (reference !== undefined) references.set(index, reference);
    if (target === undefined) {
      insns.push(insn);
      continue;
    }
    const to = laid[target];
    if (to === undefined) return undefined;
    const distance = to.slot - insn.slot - 1;
    if (insn.imm64 !== undefined) {
      references.set(index, { kind: 'function', insn: target });
      starts.add(target);
      insns.push({ ...insn, imm: distance, imm64: BigInt.asUintN(32, BigInt(distance)) });
    } else if (formOf(insn).operands.includes('jump imm')) {
      if (operationOf(insn).kind === 'call') starts.add(target);
      insns.push({ ...insn, imm: distance });
    } else {
      if (distance !== (distance << 16) >> 16) return undefined;
      insns.push({ ...insn, offset: distance });
    }
  }
  const subprograms = [...starts]
    .sort((a, b) => a - b)
    .map((start, index) => ({ name: index === 0 ? name : `f${index}`, start, linkage: 'static' as const }));
  return { name, section: '', insns, references, subprograms, lines: new Map() };
}

/** The lines without `count` of them; what led there leads to what follows. */
export function without(lines: readonly EditLine[], from: number, count: number): EditLine[] {
  const moved = (target: number | undefined): number | undefined =>
    target === undefined || target <= from ? target : Math.max(from, target - count);
  return lines
    .filter((_, at) => at < from || at >= from + count)
    .map((line) => ({ ...line, target: moved(line.target) }));
}

/** Changes a few things at random; undefined if what comes out is no program. */
export function mutate(program: LinkedProgram, random: Random): LinkedProgram | undefined {
  let lines = linesOf(program);
  for (let count = random.pick([1, 1, 1, 2, 3]); count > 0 && lines.length > 0; count--) {
    lines = random.weighted(MUTATIONS)(lines, random.below(lines.length), random);
  }
  return lines.length === 0 ? undefined : programOf(program.name, lines);
}

type Mutation = (lines: EditLine[], at: number, random: Random) => EditLine[];

const MUTATIONS: readonly (readonly [weight: number, mutation: Mutation])[] = [
  [4, (lines, at) => without(lines, at, 1)],
  [8, changing((insn, random) => ({ ...insn, imm: (insn.imm + random.pick([-1, 1, -8, 8])) | 0 }), 'imm')],
  [4, changing((insn, random) => ({ ...insn, imm: random.number32() }), 'imm')],
  [8, changing((insn, random) => moveAccess(insn, random.pick([-1, 1, -8, 8, -4, 4])), '[dst]', '[src]')],
  [8, changing((insn, random) => ({ ...insn, dst: random.below(10) }), 'dst')],
  [8, changing((insn, random) => ({ ...insn, src: random.below(11) }), 'src', '[src]')],
  [4, changing((insn, random) => ({ ...insn, dst: random.below(11) }), '[dst]')],
  [10, anotherForm],
  [4, (lines, at, random) => retarget(lines, at, random)],
  [3, (lines, at) => swap(lines, at)],
];

/** Applies an edit to the next line that has such an operand. */
function changing(edit: (insn: Insn, random: Random) => Insn, ...operands: readonly string[]): Mutation {
  return (lines, at, random) => {
    for (let step = 0; step < lines.length; step++) {
      const index = (at + step) % lines.length;
      const line = lines[index]!;
      if (line.reference !== undefined || !formOf(line.insn).operands.some((name) => operands.includes(name))) continue;
      return lines.with(index, { ...line, insn: edit(line.insn, random) });
    }
    return lines;
  };
}

function moveAccess(insn: Insn, by: number): Insn {
  return { ...insn, offset: Math.max(-0x8000, Math.min(0x7fff, insn.offset + by)) };
}

/** Another operator, width, size or condition with the same operands. */
function anotherForm(lines: EditLine[], at: number, random: Random): EditLine[] {
  const line = lines[at]!;
  const form = formOf(line.insn);
  const { kind } = operationOf(line.insn);
  const others = FORMS.filter((other) => other !== form && other.operation.kind === kind && sameOperands(other, form));
  if (line.reference !== undefined || kind === 'lddw' || kind === 'call' || others.length === 0) return lines;
  const { opcode, fixed } = random.pick(others);
  return lines.with(at, { ...line, insn: { ...line.insn, opcode, ...fixed } });
}

function sameOperands(a: Form, b: Form): boolean {
  return a.operands.join() === b.operands.join() && formsOf(a.opcode).includes(a);
}

function retarget(lines: EditLine[], at: number, random: Random): EditLine[] {
  const index = lines.findIndex(({ target, insn }, i) => i >= at && target !== undefined && insn.imm64 === undefined);
  const line = lines[index];
  if (line === undefined || operationOf(line.insn).kind === 'call') return lines;
  const target = Math.max(0, Math.min(lines.length - 1, line.target! + random.pick([-2, -1, 1, 2, 3])));
  return lines.with(index, { ...line, target });
}

function swap(lines: EditLine[], at: number): EditLine[] {
  const next = lines[at + 1];
  return next === undefined ? lines : lines.with(at, next).with(at + 1, lines[at]!);
}
