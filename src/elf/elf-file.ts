/**
 * One ELF file in memory: eBPF objects and the executables and libraries of targets alike.
 * Headers and segments are read at once; everything else when it is asked for, so that a library whose section table
 * was stripped still tells its dynamic symbols. Nothing is copied.
 */
import { toHex } from '../bytes/hex.ts';
import { type Dynamic, readDynamic } from './dynamic.ts';
import { ElfError } from './errors.ts';
import { type FileHeader, readFileHeader } from './header.ts';
import { type Note, NT_GNU_BUILD_ID, readNotes } from './notes.ts';
import { Rel, Rela, type Relocation, readRelocations } from './relocations.ts';
import { readSections, type Section, SectionType, sectionData } from './sections.ts';
import { fileOffsetToVaddr, readSegments, type Segment, SegmentType, vaddrToFileOffset } from './segments.ts';
import { type ElfSymbol, preferredSymbol, Sym, SymbolTable } from './symbols.ts';
import { checkEntrySize, slice } from './table.ts';

/**
 * Reads a whole ELF file.
 *
 * @param file the whole file; must not change while the result is used
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_MAGIC, ELF_NOT_64LE, ELF_BAD_HEADER
 */
export function readElf(file: Uint8Array): ElfFile {
  return new ElfFile(file);
}

/** What `readElf` returns. Every part that is read lazily throws an ElfError if it is malformed. */
export class ElfFile {
  readonly header: FileHeader;
  readonly segments: readonly Segment[];
  readonly #file: Uint8Array;
  #sections: readonly Section[] | undefined;
  readonly #symbolTables = new Map<number, SymbolTable | undefined>();

  /** @internal Use `readElf`. */
  constructor(file: Uint8Array) {
    this.#file = file;
    this.header = readFileHeader(file);
    this.segments = readSegments(file, this.header);
  }

  /** The section table, by index; empty if it was stripped. */
  get sections(): readonly Section[] {
    this.#sections ??= readSections(this.#file, this.header);
    return this.#sections;
  }

  /** The first section of that name. */
  section(name: string): Section | undefined {
    return this.sections.find((section) => section.name === name);
  }

  /** The bytes of a section; none for NOBITS. */
  data(section: Section): Uint8Array {
    return sectionData(this.#file, section);
  }

  /** The full symbol table, undefined if it was stripped. */
  get symtab(): SymbolTable | undefined {
    return this.#symbolTable(SectionType.SYMTAB);
  }

  /** The dynamic symbols: those that stripping leaves. */
  get dynsym(): SymbolTable | undefined {
    return this.#symbolTable(SectionType.DYNSYM) ?? this.dynamic?.symbols();
  }

  /** The symbol a caller means by `name`: from the symtab, else from the dynamic symbols; defined ones only. */
  findSymbol(name: string): ElfSymbol | undefined {
    return preferredSymbol(this.symtab?.find(name) ?? []) ?? preferredSymbol(this.dynsym?.find(name) ?? []);
  }

  /** Every symbol: those of the symtab, then the dynamic ones, which may repeat them. */
  *symbols(): Generator<ElfSymbol> {
    yield* this.symtab ?? [];
    yield* this.dynsym ?? [];
  }

  /** The rows of one relocation section, REL or RELA. */
  *relocations(section: Section): Generator<Relocation> {
    const row = section.type === SectionType.RELA ? Rela : Rel;
    checkEntrySize(section.entrySize, row, `relocations '${section.name}'`);
    yield* readRelocations(this.data(section), row);
  }

  /** What the dynamic loader reads, undefined for object files and static executables. */
  get dynamic(): Dynamic | undefined {
    return readDynamic(this.#file, this.segments);
  }

  /** The notes of all note segments or, in a file without segments, note sections. */
  *notes(): Generator<Note> {
    for (const segment of this.segments) {
      if (segment.type === SegmentType.NOTE)
        yield* readNotes(slice(this.#file, segment.offset, segment.fileSize, 'a note segment'));
    }
    if (this.segments.length > 0) return;
    for (const section of this.sections) {
      if (section.type === SectionType.NOTE) yield* readNotes(this.data(section));
    }
  }

  /** The linker's build-id as lower-case hex. */
  get buildId(): string | undefined {
    for (const { name, type, desc } of this.notes()) {
      if (name === 'GNU' && type === NT_GNU_BUILD_ID) return toHex(desc);
    }
    return undefined;
  }

  /** The address, before relocation, at which a byte of the file is loaded; undefined if it is not loaded. */
  fileOffsetToVaddr(offset: number): bigint | undefined {
    return fileOffsetToVaddr(this.segments, offset);
  }

  /** Where in the file the byte loaded at an address (before relocation) stands; undefined for .bss and gaps. */
  vaddrToFileOffset(vaddr: bigint): number | undefined {
    return vaddrToFileOffset(this.segments, vaddr);
  }

  /** Up to `size` bytes that the file has for an address: none where no segment holds it. */
  bytesAt(vaddr: bigint, size: number): Uint8Array {
    const offset = this.vaddrToFileOffset(vaddr);
    return offset === undefined ? new Uint8Array(0) : this.#file.subarray(offset, offset + size);
  }

  #symbolTable(type: number): SymbolTable | undefined {
    if (!this.#symbolTables.has(type)) this.#symbolTables.set(type, this.#readSymbolTable(type));
    return this.#symbolTables.get(type);
  }

  #readSymbolTable(type: number): SymbolTable | undefined {
    const section = this.sections.find((s) => s.type === type);
    if (section === undefined) return undefined;
    checkEntrySize(section.entrySize, Sym, `symbols '${section.name}'`);
    const strings = this.sections[section.link];
    if (strings === undefined || strings.type !== SectionType.STRTAB) {
      throw new ElfError(
        'ELF_BAD_HEADER',
        `cannot read symbols '${section.name}': section ${section.link} is not a string table`,
      );
    }
    const versions = this.sections.find((s) => s.type === SectionType.VERSYM && s.link === section.index);
    return new SymbolTable(this.data(section), this.data(strings), versions && this.data(versions));
  }
}
