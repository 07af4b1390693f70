/** Writes programs of tests instruction by instruction, with labels for jumps, calls and callbacks. */
import { formOf } from '../../src/insn/form.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { layOut } from '../../src/insn/layout.ts';
import { LddwKind } from '../../src/insn/opcode.ts';
import type { LinkedProgram, Reference } from '../../src/object/spec.ts';

/** A place in the code: known once it is placed. */
export interface Label {
  index: number | undefined;
  /** Whether anything leads there. */
  used: boolean;
}

interface Line {
  readonly insn: Insn;
  readonly target: Label | undefined;
  readonly map: string | undefined;
}

export class CodeWriter {
  readonly #lines: Line[] = [];
  readonly #functions: Label[] = [];

  get length(): number {
    return this.#lines.length;
  }

  label(): Label {
    return { index: undefined, used: false };
  }

  /** The label stands for what is written next. */
  place(label: Label): void {
    label.index = this.#lines.length;
  }

  /** As `place`, of the first instruction of a function; the first one written needs none. */
  beginFunction(label: Label): void {
    this.place(label);
    this.#functions.push(label);
  }

  emit(...insns: readonly Insn[]): void {
    for (const insn of insns) this.#lines.push({ insn, target: undefined, map: undefined });
  }

  /** A jump, branch or local call to a label. */
  jump(insn: Insn, target: Label): void {
    target.used = true;
    this.#lines.push({ insn, target, map: undefined });
  }

  loadMap(dst: number, map: string): void {
    this.#lines.push({ insn: lddw(dst, LddwKind.MAP_FD), target: undefined, map });
  }

  loadFunction(dst: number, target: Label): void {
    target.used = true;
    this.#lines.push({ insn: lddw(dst, LddwKind.FUNCTION), target, map: undefined });
  }

  /** The program, its distances filled in. All labels have been placed. */
  finish(name: string): LinkedProgram {
    const laid = layOut(this.#lines.map(({ insn }) => insn));
    const references = new Map<number, Reference>();
    const insns = laid.map((insn, index) => {
      const { target, map } = this.#lines[index]!;
      if (map !== undefined) references.set(index, { kind: 'map', map });
      if (target === undefined) return insn;
      const distance = laid[target.index!]!.slot - insn.slot - 1;
      if (insn.imm64 !== undefined) {
        references.set(index, { kind: 'function', insn: target.index! });
        return { ...insn, imm: distance, imm64: BigInt.asUintN(32, BigInt(distance)) };
      }
      return formOf(insn).operands.includes('jump imm') ? { ...insn, imm: distance } : { ...insn, offset: distance };
    });
    const starts = [0, ...this.#functions.map(({ index }) => index!)];
    const subprograms = starts.map((start, index) => ({
      name: index === 0 ? name : `f${index}`,
      start,
      linkage: 'static' as const,
    }));
    return { name, section: '', insns, references, subprograms, lines: new Map() };
  }
}

function lddw(dst: number, src: number): Insn {
  return { opcode: 0x18, dst, src, offset: 0, imm: 0, imm64: 0n, slot: 0 };
}
