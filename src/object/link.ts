/**
 * Linking: a program and every subprogram it reaches become one run of instructions, numbered as the kernel wants them:
 * local calls and function addresses relative, map references marked in `src`.
 */
import type { Insn } from '../insn/insn.ts';
import { NO_KERNEL_FUNCTION } from '../insn/kernel-functions.ts';
import { slotCount } from '../insn/layout.ts';
import { CallKind, LddwKind } from '../insn/opcode.ts';
import { ObjectError } from './errors.ts';
import { type CodeFunction, sectionOf } from './functions.ts';
import type { ObjectLayout, Place } from './layout.ts';
import { resolveReferences } from './resolve.ts';
import type { LinkedProgram, Reference, SourceLine, Subprogram } from './spec.ts';

/** What the kernel lets one program have, here for all programs of an object together. */
const MAX_INSNS = 1_000_000;

/** A function's place in the linked program, as the index of its first instruction and as its slot. */
interface Start {
  readonly index: number;
  readonly slot: number;
}

/** Links the programs of one object, one after the other. */
export class Linker {
  readonly #layout: ObjectLayout;
  /** Functions that several programs reach are resolved once. */
  readonly #resolved = new Map<CodeFunction, ReadonlyMap<number, Place>>();
  #insnsLeft = MAX_INSNS;

  constructor(layout: ObjectLayout) {
    this.#layout = layout;
  }

  /**
   * Links one program.
   *
   * @throws {ObjectError} OBJECT_BAD_FUNCTION, OBJECT_BAD_CORE, OBJECT_TOO_LARGE, and what resolveReferences throws
   */
  link(main: CodeFunction): LinkedProgram {
    const starts = this.#arrange(main);
    const insns: Insn[] = [];
    const references = new Map<number, Reference>();
    const lines = new Map<number, SourceLine>();
    const subprograms: Subprogram[] = [];
    const missing = new Map<number, string>();

    for (const [part, start] of starts) {
      const { name, linkage, type } = part;
      subprograms.push({ name, start: start.index, linkage, ...(type !== undefined && { type }) });
      const places = this.#references(part);
      for (const insn of part.insns) {
        const index = insns.length;
        const place = places.get(insn.slot);
        const line = part.lines.get(insn.slot);
        const absent = part.missing.get(insn.slot) ?? absentFunction(place);
        const moved = { ...insn, slot: start.slot + insn.slot };
        insns.push(place === undefined ? moved : complete(moved, place, starts));
        const reference = place !== undefined && insn.imm64 !== undefined ? referenceTo(place, starts) : undefined;
        if (reference !== undefined) references.set(index, reference);
        if (line !== undefined) lines.set(index, line);
        if (absent !== undefined) missing.set(index, absent);
      }
    }
    return { name: main.name, ...sectionOf(main), insns, references, subprograms, lines, missing };
  }

  /** The functions that `main` reaches, itself first, each with the place it gets. */
  #arrange(main: CodeFunction): ReadonlyMap<CodeFunction, Start> {
    const starts = new Map<CodeFunction, Start>();
    const reached = new Set([main]);
    let next: Start = { index: 0, slot: 0 };
    // A Set's iteration goes on to what is added meanwhile.
    for (const part of reached) {
      if (part.defect !== undefined) throw part.defect;
      this.#insnsLeft -= part.insns.length;
      if (this.#insnsLeft < 0) {
        throw new ObjectError(
          'OBJECT_TOO_LARGE',
          `cannot link '${main.name}': the object's programs have more than ${MAX_INSNS} instructions`,
        );
      }
      starts.set(part, next);
      next = { index: next.index + part.insns.length, slot: next.slot + slotsOf(part) };
      for (const place of this.#references(part).values()) {
        if (place.kind === 'function') reached.add(place.callee);
      }
    }
    return starts;
  }

  #references(part: CodeFunction): ReadonlyMap<number, Place> {
    const known = this.#resolved.get(part);
    if (known !== undefined) return known;
    const references = resolveReferences(part, this.#layout);
    this.#resolved.set(part, references);
    return references;
  }
}

/** The name of a kernel function that is not here. */
function absentFunction(place: Place | undefined): string | undefined {
  return place?.kind === 'kernelFunction' && place.number === NO_KERNEL_FUNCTION ? place.name : undefined;
}

function slotsOf(part: CodeFunction): number {
  const last = part.insns.at(-1)!;
  return last.slot + slotCount(last);
}

/** The instruction as the kernel would want it, `place` filled in. */
function complete(insn: Insn, place: Place, starts: ReadonlyMap<CodeFunction, Start>): Insn {
  switch (place.kind) {
    case 'map':
      return { ...insn, src: LddwKind.MAP_FD, imm: 0, imm64: 0n };
    case 'mapValue':
      return { ...insn, src: LddwKind.MAP_FD_VALUE, imm: 0, imm64: BigInt(place.offset) << 32n };
    case 'number':
      return { ...insn, src: LddwKind.NUMBER, imm: Number(BigInt.asIntN(32, place.value)), imm64: place.value };
    case 'kernelFunction':
      return { ...insn, src: CallKind.KFUNC, imm: place.number };
    case 'function': {
      const imm = starts.get(place.callee)!.slot - insn.slot - 1;
      return insn.imm64 === undefined
        ? { ...insn, imm }
        : { ...insn, src: LddwKind.FUNCTION, imm, imm64: BigInt.asUintN(32, BigInt(imm)) };
    }
  }
}

/** What the lddw loads that is not in it; undefined for a number. */
function referenceTo(place: Place, starts: ReadonlyMap<CodeFunction, Start>): Reference | undefined {
  if (place.kind === 'number' || place.kind === 'kernelFunction') return undefined;
  return place.kind === 'function' ? { kind: 'function', insn: starts.get(place.callee)!.index } : place;
}
