/**
 * Symbol tables, read lazily: a row becomes an object only when someone asks for it, and a lookup by name compares
 * numbers, not texts, so that node's 78,000 symbols cost a scan over 2 MB.
 * Source: System V ABI, "Symbol Table"; struct Elf64_Sym in <elf.h>; .gnu.version in the LSB, "Symbol Versioning".
 */
import { cString } from '../bytes/c-string.ts';
import { struct, viewOf } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';
import { SectionIndex } from './sections.ts';

/** st_info & 15. GNU_IFUNC: the value is the address of a resolver, not of the function. */
export const SymbolType = {
  NOTYPE: 0,
  OBJECT: 1,
  FUNC: 2,
  SECTION: 3,
  FILE: 4,
  COMMON: 5,
  TLS: 6,
  GNU_IFUNC: 10,
} as const;

/** st_info >> 4. */
export const SymbolBinding = { LOCAL: 0, GLOBAL: 1, WEAK: 2 } as const;

/** st_other & 3. */
export const SymbolVisibility = { DEFAULT: 0, INTERNAL: 1, HIDDEN: 2, PROTECTED: 3 } as const;

/** struct Elf64_Sym. */
export const Sym = struct('Elf64_Sym', 24, {
  name: 'u32',
  info: 'u8',
  other: 'u8',
  shndx: 'u16',
  value: 'u64',
  size: 'u64',
});

/** Bit of a version that says: an old version, not what the name means to new programs. */
const VERSYM_HIDDEN = 0x8000;

export interface ElfSymbol {
  /** Place in its table: what relocations name it by. */
  readonly index: number;
  /** Decoded when read, up to 64 KiB. @throws {ElfError} ELF_BAD_STRING */
  readonly name: string;
  readonly type: number;
  readonly binding: number;
  readonly visibility: number;
  /** Index of the section it is defined in, or one of SectionIndex. */
  readonly section: number;
  /** An address before relocation; in object files an offset in the section. */
  readonly value: bigint;
  /** In bytes, 0 if unknown. */
  readonly size: number;
  /** True for a superseded version of a dynamic symbol, as memcpy@GLIBC_2.2.5. */
  readonly superseded: boolean;
}

/** One symbol table over the raw bytes of its sections. */
export class SymbolTable implements Iterable<ElfSymbol> {
  /** Rows, the empty first one included. */
  readonly count: number;
  readonly #rows: Uint8Array;
  readonly #view: DataView;
  readonly #strings: Uint8Array;
  readonly #versions: DataView | undefined;

  /**
   * @param rows the table, whole rows of 24 bytes
   * @param strings the string table its names are in
   * @param versions the .gnu.version section, if there is one
   */
  constructor(rows: Uint8Array, strings: Uint8Array, versions?: Uint8Array) {
    this.count = Math.floor(rows.length / Sym.size);
    this.#rows = rows;
    this.#view = viewOf(rows);
    this.#strings = strings;
    this.#versions = versions && viewOf(versions);
  }

  /** @throws {ElfError} ELF_BAD_SYMBOL */
  at(index: number): ElfSymbol {
    if (index >= this.count) {
      throw new ElfError('ELF_BAD_SYMBOL', `cannot read symbol ${index}: the table has ${this.count}`);
    }
    return new Row(index, Sym.read(this.#rows, index * Sym.size), this.#strings, this.#isSuperseded(index));
  }

  /** Every symbol but the empty first one. */
  *[Symbol.iterator](): Generator<ElfSymbol> {
    for (let index = 1; index < this.count; index++) yield this.at(index);
  }

  /**
   * Every defined symbol called `name`, in table order. In a symtab the name may carry its default version
   * ('memcpy@@GLIBC_2.14'); it is found by the plain name too.
   */
  *find(name: string): Generator<ElfSymbol> {
    const places = this.#placesOf(name);
    if (places.size === 0) return;
    for (let index = 1; index < this.count; index++) {
      const row = index * Sym.size;
      if (!places.has(this.#view.getUint32(row + Sym.offsetOf.name, true))) continue;
      if (this.#view.getUint16(row + Sym.offsetOf.shndx, true) === SectionIndex.UNDEF) continue;
      yield this.at(index);
    }
  }

  /** Offsets in the string table at which `name` stands; as the tail of a longer name too, since linkers merge tails. */
  #placesOf(name: string): ReadonlySet<number> {
    const places = new Set<number>();
    if (name === '' || name.includes('\0')) return places;
    const strings = Buffer.from(this.#strings.buffer, this.#strings.byteOffset, this.#strings.byteLength);
    for (const text of [`${name}\0`, `${name}@@`]) {
      for (let at = strings.indexOf(text); at >= 0; at = strings.indexOf(text, at + 1)) places.add(at);
    }
    return places;
  }

  #isSuperseded(index: number): boolean {
    if (this.#versions === undefined || index * 2 + 2 > this.#versions.byteLength) return false;
    return (this.#versions.getUint16(index * 2, true) & VERSYM_HIDDEN) !== 0;
  }
}

/** A class for the sake of its getter: hundreds of thousands of these are made. */
class Row implements ElfSymbol {
  readonly index: number;
  readonly type: number;
  readonly binding: number;
  readonly visibility: number;
  readonly section: number;
  readonly value: bigint;
  readonly size: number;
  readonly superseded: boolean;
  readonly #name: number;
  readonly #strings: Uint8Array;

  constructor(index: number, row: ReturnType<typeof Sym.read>, strings: Uint8Array, superseded: boolean) {
    this.index = index;
    this.type = row.info & 15;
    this.binding = row.info >> 4;
    this.visibility = row.other & 3;
    this.section = row.shndx;
    this.value = row.value;
    this.size = Number(row.size);
    this.superseded = superseded;
    this.#name = row.name;
    this.#strings = strings;
  }

  get name(): string {
    const name = this.#name === 0 ? '' : cString(this.#strings, this.#name);
    if (name === undefined) {
      const where = `${this.#name} of ${this.#strings.length} bytes`;
      throw new ElfError('ELF_BAD_STRING', `cannot read the name of symbol ${this.index}: no string at ${where}`);
    }
    return name;
  }
}

/** Of several symbols with one name the one a caller means: not superseded, then global before weak before local. */
export function preferredSymbol(symbols: Iterable<ElfSymbol>): ElfSymbol | undefined {
  let best: ElfSymbol | undefined;
  for (const symbol of symbols) {
    if (best === undefined || rank(symbol) < rank(best)) best = symbol;
  }
  return best;
}

const BINDING_RANK: Readonly<Record<number, number>> = {
  [SymbolBinding.GLOBAL]: 0,
  [SymbolBinding.WEAK]: 1,
  [SymbolBinding.LOCAL]: 2,
};

function rank(symbol: ElfSymbol): number {
  return (BINDING_RANK[symbol.binding] ?? 3) + (symbol.superseded ? 4 : 0);
}
