/**
 * The section table, with the escapes for more than 65,279 sections.
 * Source: System V ABI, "Sections"; struct Elf64_Shdr in <elf.h>.
 */
import { cString } from '../bytes/c-string.ts';
import { struct } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';
import type { FileHeader } from './header.ts';
import { readTable, slice } from './table.ts';

/** sh_type values we meet. */
export const SectionType = {
  NULL: 0,
  PROGBITS: 1,
  SYMTAB: 2,
  STRTAB: 3,
  RELA: 4,
  DYNAMIC: 6,
  NOTE: 7,
  NOBITS: 8,
  REL: 9,
  DYNSYM: 11,
  VERSYM: 0x6fff_ffff,
} as const;

/** sh_flags bits. */
export const SectionFlag = { WRITE: 1n, ALLOC: 2n, EXEC: 4n, COMPRESSED: 0x800n } as const;

/** Section indexes with a meaning of their own. */
export const SectionIndex = { UNDEF: 0, ABS: 0xfff1, COMMON: 0xfff2, XINDEX: 0xffff } as const;

/** struct Elf64_Shdr. */
export const Shdr = struct('Elf64_Shdr', 64, {
  name: 'u32',
  type: 'u32',
  flags: 'u64',
  addr: 'u64',
  offset: 'u64',
  size: 'u64',
  link: 'u32',
  info: 'u32',
  addralign: 'u64',
  entsize: 'u64',
});

/** Far above what linkers write; they bound the memory that names of a hostile file can take. */
const MAX_SECTIONS = 65536;
const MAX_NAME = 1024;

/** One row of the section table. Nothing in it is checked against the file until `sectionData` is asked for. */
export interface Section {
  readonly index: number;
  readonly name: string;
  readonly type: number;
  readonly flags: bigint;
  readonly address: bigint;
  readonly offset: number;
  /** In bytes; what NOBITS sections occupy in memory. */
  readonly size: number;
  readonly link: number;
  readonly info: number;
  readonly entrySize: number;
}

/**
 * Reads the section table; empty if the file has none.
 *
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_HEADER, ELF_BAD_STRING
 */
export function readSections(file: Uint8Array, header: FileHeader): readonly Section[] {
  if (header.shoff === 0n) return [];
  const at = { offset: Number(header.shoff), entrySize: header.shentsize };
  // Counts that do not fit the file header stand in the unused first row.
  const first = readTable(file, { ...at, count: 1 }, Shdr, 'the section table')[0]!;
  const count = header.shnum === 0 ? Number(first.size) : header.shnum;
  if (count > MAX_SECTIONS) {
    throw new ElfError(
      'ELF_BAD_HEADER',
      `cannot read the section table: ${count} sections, at most ${MAX_SECTIONS} are read`,
    );
  }
  const namesIndex = header.shstrndx === SectionIndex.XINDEX ? first.link : header.shstrndx;

  const rows = readTable(file, { ...at, count }, Shdr, 'the section table');
  const namesRow = rows[namesIndex];
  if (namesRow === undefined) {
    throw new ElfError(
      'ELF_BAD_HEADER',
      `cannot read section names: section ${namesIndex} of ${rows.length} should hold them`,
    );
  }
  // Index 0 means that sections have no names.
  const names =
    namesIndex === 0 ? Uint8Array.of(0) : slice(file, Number(namesRow.offset), Number(namesRow.size), 'section names');

  return rows.map((row, index) => {
    const name = cString(names, namesIndex === 0 ? 0 : row.name, MAX_NAME);
    if (name === undefined) {
      throw new ElfError(
        'ELF_BAD_STRING',
        `cannot read the name of section ${index}: no string at ${row.name} of ${names.length} bytes`,
      );
    }
    return {
      index,
      name,
      type: row.type,
      flags: row.flags,
      address: row.addr,
      offset: Number(row.offset),
      size: Number(row.size),
      link: row.link,
      info: row.info,
      entrySize: Number(row.entsize),
    };
  });
}

/**
 * The bytes of a section, not copied; none for NOBITS.
 *
 * @throws {ElfError} ELF_TRUNCATED, ELF_COMPRESSED
 */
export function sectionData(file: Uint8Array, section: Section): Uint8Array {
  if (section.type === SectionType.NOBITS) return file.subarray(0, 0);
  if (section.flags & SectionFlag.COMPRESSED) {
    throw new ElfError('ELF_COMPRESSED', `cannot read section '${section.name}': it is compressed`);
  }
  return slice(file, section.offset, section.size, `section '${section.name}'`);
}
