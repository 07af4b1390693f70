/**
 * The program header table: how the file is laid into memory.
 * Source: System V ABI, "Program Header"; struct Elf64_Phdr in <elf.h>.
 */
import { struct } from '../bytes/struct.ts';
import type { FileHeader } from './header.ts';
import { Shdr } from './sections.ts';
import { readTable } from './table.ts';

/** p_type values we meet. */
export const SegmentType = { LOAD: 1, DYNAMIC: 2, INTERP: 3, NOTE: 4, TLS: 7, EH_FRAME: 0x6474e550 } as const;

/** p_flags bits. */
export const SegmentFlag = { EXEC: 1, WRITE: 2, READ: 4 } as const;

/** struct Elf64_Phdr. */
export const Phdr = struct('Elf64_Phdr', 56, {
  type: 'u32',
  flags: 'u32',
  offset: 'u64',
  vaddr: 'u64',
  paddr: 'u64',
  filesz: 'u64',
  memsz: 'u64',
  align: 'u64',
});

/** e_phnum when the count stands in sh_info of the first section. */
const PN_XNUM = 0xffff;

export interface Segment {
  readonly type: number;
  readonly flags: number;
  readonly offset: number;
  /** Address before relocation: add the load bias. */
  readonly address: bigint;
  readonly fileSize: number;
  readonly memorySize: number;
  readonly alignment: number;
}

/**
 * Reads the program header table; empty if the file has none.
 *
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_HEADER
 */
export function readSegments(file: Uint8Array, header: FileHeader): readonly Segment[] {
  const at = { offset: Number(header.phoff), count: segmentCount(file, header), entrySize: header.phentsize };
  return readTable(file, at, Phdr, 'the program header table').map((row) => ({
    type: row.type,
    flags: row.flags,
    offset: Number(row.offset),
    address: row.vaddr,
    fileSize: Number(row.filesz),
    memorySize: Number(row.memsz),
    alignment: Number(row.align),
  }));
}

function segmentCount(file: Uint8Array, header: FileHeader): number {
  if (header.phnum !== PN_XNUM) return header.phnum;
  const at = { offset: Number(header.shoff), count: 1, entrySize: header.shentsize };
  return readTable(file, at, Shdr, 'the section table')[0]!.info;
}

/** The address, before relocation, at which a byte of the file is loaded; undefined if it is not loaded. */
export function fileOffsetToVaddr(segments: readonly Segment[], offset: number): bigint | undefined {
  const segment = segments.find(
    (s) => s.type === SegmentType.LOAD && offset >= s.offset && offset - s.offset < s.fileSize,
  );
  return segment && segment.address + BigInt(offset - segment.offset);
}

/** Where in the file the byte loaded at an address stands; undefined if none does (.bss, gaps). */
export function vaddrToFileOffset(segments: readonly Segment[], vaddr: bigint): number | undefined {
  const segment = segments.find(
    (s) => s.type === SegmentType.LOAD && vaddr >= s.address && vaddr - s.address < BigInt(s.fileSize),
  );
  return segment && segment.offset + Number(vaddr - segment.address);
}
