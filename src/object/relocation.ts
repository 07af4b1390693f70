/** Relocations of eBPF objects. Source: Linux Documentation/bpf/llvm_reloc.rst. */
import { viewOf } from '../bytes/struct.ts';
import type { ElfFile } from '../elf/elf-file.ts';
import { Rel } from '../elf/relocations.ts';
import { type Section, SectionType } from '../elf/sections.ts';
import type { ElfSymbol } from '../elf/symbols.ts';
import { ObjectError } from './errors.ts';

/** r_type values. 64_64: a lddw; 64_32: a call; the others: data and BTF. */
export const BpfRelocation = { R64_64: 1, ABS64: 2, ABS32: 3, NODYLD32: 4, R64_32: 10 } as const;

/** A relocation whose symbol was looked up. */
export interface Relocation {
  /** Bytes from the start of the section. */
  readonly offset: number;
  readonly type: number;
  readonly symbol: ElfSymbol;
}

/** All relocations of an object, by the section they apply to. */
export class Relocations {
  readonly #elf: ElfFile;
  readonly #tables: ReadonlyMap<number, readonly Section[]>;

  constructor(elf: ElfFile) {
    this.#elf = elf;
    const tables = new Map<number, Section[]>();
    for (const table of elf.sections) {
      if (table.type !== SectionType.REL && table.type !== SectionType.RELA) continue;
      const others = tables.get(table.info);
      if (others === undefined) tables.set(table.info, [table]);
      else others.push(table);
    }
    this.#tables = tables;
  }

  /**
   * The relocations of one section, in file order.
   *
   * @throws {ObjectError} OBJECT_BAD_RELOCATION, OBJECT_NO_SYMBOLS
   * @throws {ElfError} if the table or a symbol is malformed
   */
  *of(section: Section): Generator<Relocation> {
    for (const table of this.#tables.get(section.index) ?? []) {
      // A place is relocated once, and is four bytes at least.
      if (table.type === SectionType.RELA || table.size / Rel.size > section.size / 4) {
        throw new ObjectError(
          'OBJECT_BAD_RELOCATION',
          `cannot relocate '${section.name}': '${table.name}' is RELA, or has more rows than there are places`,
        );
      }
      const symbols = symbolsOf(this.#elf);
      for (const { offset, type, symbol } of this.#elf.relocations(table)) {
        yield { offset: Number(offset), type, symbol: symbols.at(symbol) };
      }
    }
  }
}

/** The symbol table. @throws {ObjectError} OBJECT_NO_SYMBOLS */
export function symbolsOf(elf: ElfFile): NonNullable<ElfFile['symtab']> {
  const symbols = elf.symtab;
  if (symbols === undefined) {
    throw new ObjectError('OBJECT_NO_SYMBOLS', 'cannot read the object: it has no symbol table', {
      fix: 'strip debug sections only: llvm-strip -g',
    });
  }
  return symbols;
}

/** A copy of .BTF with its relocations applied: that is where the compiler put the offsets of global variables. */
export function relocateBtf(bytes: Uint8Array, relocations: Iterable<Relocation>): Uint8Array {
  const relocated = new Uint8Array(bytes);
  const view = viewOf(relocated);
  for (const { offset, type, symbol } of relocations) {
    if ((type !== BpfRelocation.ABS32 && type !== BpfRelocation.NODYLD32) || offset + 4 > bytes.length) {
      throw new ObjectError(
        'OBJECT_BAD_RELOCATION',
        `cannot relocate BTF: type ${type} at ${offset}, wanted 3 or 4 within ${bytes.length} bytes`,
      );
    }
    view.setUint32(offset, view.getUint32(offset, true) + Number(symbol.value), true);
  }
  return relocated;
}
