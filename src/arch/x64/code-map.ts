/**
 * What is known about the code of one module: where its functions are, and every address at which control may land other
 * than from the instruction in front. A jump laid over several instructions is right only if nothing lands between them.
 *
 * Landing places are over-estimated, since a wrong refusal costs little and a wrong patch kills. Counted are the targets of
 * whatever reads as a near branch, call or lea at any byte of the code, all pointers into the code that data may hold,
 * and the entries of tables whose address the code takes. Branches of one byte's reach are too many for that: those are
 * decoded, around the place in question, by who asks.
 */
import { viewOf } from '../../bytes/struct.ts';

/** Bytes of a module, at their address before relocation. */
export interface ImagePart {
  readonly address: number;
  readonly bytes: Uint8Array;
}

/** A function's bytes: from `start` up to, not including, `end`. */
export interface FunctionRange {
  readonly start: number;
  readonly end: number;
}

/** A module as its file has it. */
export interface CodeImage {
  /** What is mapped executable. */
  readonly code: readonly ImagePart[];
  /** What is mapped otherwise. */
  readonly data: readonly ImagePart[];
  /** In any order; aliases may repeat. `end` = `start` where the size is not known. */
  readonly functions: Iterable<FunctionRange>;
  /** Other addresses that the loader or the linker hands out: labels, what relocations point to. */
  readonly pointers: Iterable<number>;
}

export class CodeMap {
  readonly #code: readonly LandingPart[];
  /** In ascending order of start, one for each start: the longest. */
  readonly #functions: readonly FunctionRange[];
  /** What has yet to be looked through for landing places: a pass over the whole file, which not all who ask need. */
  #unmarked: CodeImage | undefined;

  constructor(image: CodeImage) {
    this.#code = image.code.map((part) => new LandingPart(part));
    this.#functions = sortFunctions(image.functions);
    this.#unmarked = image;
  }

  #markAll(): void {
    const image = this.#unmarked;
    if (image === undefined) return;
    this.#unmarked = undefined;
    for (const { start } of this.#functions) this.#mark(start);
    for (const address of image.pointers) this.#mark(address);
    const tables = new Set<number>();
    for (const part of image.code) this.#markBranches(part, tables);
    for (const part of image.data) this.#markPointers(part, tables);
  }

  /** Up to `size` bytes of code from `address` on; none where there is no code. */
  bytesAt(address: number, size: number): Uint8Array {
    const part = this.#partAt(address);
    return part?.bytes.subarray(address - part.address, address - part.address + size) ?? new Uint8Array(0);
  }

  /** The code up to `back` bytes in front of `address` and up to `ahead` bytes behind. */
  around(address: number, back: number, ahead: number): ImagePart {
    const part = this.#partAt(address);
    if (part === undefined) return { address, bytes: new Uint8Array(0) };
    const at = address - part.address;
    const first = Math.max(0, at - back);
    return { address: part.address + first, bytes: part.bytes.subarray(first, at + ahead) };
  }

  /** Every address in the code where `bytes` lie, instructions or not, in ascending order within each run of code. */
  *occurrences(bytes: Uint8Array): Generator<number> {
    for (const part of this.#code) {
      const code = Buffer.from(part.bytes.buffer, part.bytes.byteOffset, part.bytes.length);
      for (let at = code.indexOf(bytes); at >= 0; at = code.indexOf(bytes, at + 1)) yield part.address + at;
    }
  }

  /** True if control may come to `address` from elsewhere, by anything but a branch of one byte's reach. */
  mayLandAt(address: number): boolean {
    this.#markAll();
    return this.#partAt(address)?.isMarked(address) ?? true;
  }

  /** The functions that begin in [start, end), and the last one in front of it, in ascending order. */
  functionsAround(start: number, end: number): readonly FunctionRange[] {
    const first = Math.max(0, this.#firstFrom(start) - 1);
    return this.#functions.slice(first, this.#firstFrom(end));
  }

  /** The function that begins last at or before `address`; it may end in front of it. */
  functionBefore(address: number): FunctionRange | undefined {
    return this.#functions[this.#firstFrom(address + 1) - 1];
  }

  /** The first function that begins behind `address`. */
  functionBehind(address: number): FunctionRange | undefined {
    return this.#functions[this.#firstFrom(address + 1)];
  }

  /** Index of the first function that begins at or behind `address`. */
  #firstFrom(address: number): number {
    let low = 0;
    let high = this.#functions.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#functions[middle]!.start < address) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #partAt(address: number): LandingPart | undefined {
    return this.#code.find((part) => part.holds(address));
  }

  #mark(address: number): boolean {
    const part = this.#partAt(address);
    part?.mark(address);
    return part !== undefined;
  }

  /** @param tables gets the addresses outside the code that it names */
  #markBranches({ address, bytes }: ImagePart, tables: Set<number>): void {
    const view = viewOf(bytes);
    for (let at = 0; at + 5 <= bytes.length; at++) {
      const opcode = bytes[at]!;
      // call and jmp rel32; mov r32, imm32; jcc rel32; lea r64, [rip+disp32]; xbegin rel32
      if (opcode === 0xe8 || opcode === 0xe9) this.#mark(address + at + 5 + view.getInt32(at + 1, true));
      else if ((opcode & 0xf8) === 0xb8) this.#mark(view.getUint32(at + 1, true));
      else if (opcode === 0x8d || opcode === 0x0f || opcode === 0xc7) {
        const next = bytes[at + 1]!;
        const names = opcode === 0x8d ? (next & 0xc7) === 0x05 : opcode === 0x0f ? next >> 4 === 8 : next === 0xf8;
        if (!names || at + 6 > bytes.length) continue;
        const target = address + at + 6 + view.getInt32(at + 2, true);
        if (!this.#mark(target) && opcode === 0x8d) tables.add(target);
      }
    }
  }

  /** Addresses of code that lie in data as such, and the targets of jump tables, which hold distances from themselves. */
  #markPointers({ address, bytes }: ImagePart, tables: ReadonlySet<number>): void {
    const view = viewOf(bytes);
    for (let at = -address & 7; at + 8 <= bytes.length; at += 8) {
      const high = view.getUint32(at + 4, true);
      if (high < 0x8000) this.#mark(high * 2 ** 32 + view.getUint32(at, true));
    }
    for (const table of tables) {
      if (table < address) continue;
      for (let at = table - address; at + 4 <= bytes.length; at += 4) {
        if (!this.#mark(table + view.getInt32(at, true))) break;
      }
    }
  }
}

/** A run of code, and a bit for each byte of it. */
class LandingPart implements ImagePart {
  readonly address: number;
  readonly bytes: Uint8Array;
  readonly #marks: Uint8Array;

  constructor({ address, bytes }: ImagePart) {
    this.address = address;
    this.bytes = bytes;
    this.#marks = new Uint8Array((bytes.length >> 3) + 1);
  }

  holds(address: number): boolean {
    return address >= this.address && address < this.address + this.bytes.length;
  }

  mark(address: number): void {
    const at = address - this.address;
    this.#marks[at >> 3]! |= 1 << (at & 7);
  }

  isMarked(address: number): boolean {
    const at = address - this.address;
    return (this.#marks[at >> 3]! & (1 << (at & 7))) !== 0;
  }
}

function sortFunctions(functions: Iterable<FunctionRange>): readonly FunctionRange[] {
  const ends = new Map<number, number>();
  for (const { start, end } of functions) ends.set(start, Math.max(end, ends.get(start) ?? end));
  return [...ends].map(([start, end]) => ({ start, end })).sort((a, b) => a.start - b.start);
}
