/**
 * The ELF file header: what the file is and where its tables start.
 * Source: System V ABI, "ELF Header"; struct Elf64_Ehdr in <elf.h>.
 */
import { struct } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';

const MAGIC = 0x464c_457f; // "\x7fELF" as a little-endian u32
const CLASS_64 = 2;
const DATA_LSB = 1;

/** e_machine values we meet: BPF in object files, X86_64 in targets. */
export const Machine = { X86_64: 62, BPF: 247 } as const;

/** e_type: relocatable object, fixed-address executable, shared object or PIE. */
export const FileType = { REL: 1, EXEC: 2, DYN: 3 } as const;

/** struct Elf64_Ehdr. */
// biome-ignore format: a table like the manual's
export const Ehdr = struct('Elf64_Ehdr', 64, {
  magic: 'u32', class: 'u8', data: 'u8', identVersion: 'u8', osAbi: 'u8', identPad: 'u64',
  type: 'u16', machine: 'u16', version: 'u32',
  entry: 'u64', phoff: 'u64', shoff: 'u64',
  flags: 'u32', ehsize: 'u16', phentsize: 'u16', phnum: 'u16', shentsize: 'u16', shnum: 'u16', shstrndx: 'u16',
});

/** What `readFileHeader` returns. The counts are as stored: sections.ts and segments.ts know their escapes. */
export type FileHeader = ReturnType<typeof Ehdr.read>;

/**
 * Reads and checks the first 64 bytes.
 *
 * @param file the whole file
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_MAGIC, ELF_NOT_64LE
 */
export function readFileHeader(file: Uint8Array): FileHeader {
  if (file.length < Ehdr.size) {
    throw new ElfError('ELF_TRUNCATED', `cannot read the file header: ${file.length} bytes, need ${Ehdr.size}`);
  }
  const header = Ehdr.read(file);
  if (header.magic !== MAGIC) {
    throw new ElfError(
      'ELF_BAD_MAGIC',
      `cannot read ELF: the file starts with 0x${header.magic.toString(16)}, want 0x464c457f`,
    );
  }
  if (header.class !== CLASS_64 || header.data !== DATA_LSB) {
    throw new ElfError(
      'ELF_NOT_64LE',
      `cannot read ELF: class ${header.class}, data ${header.data}, want class 2 (64-bit), data 1 (little-endian)`,
    );
  }
  return header;
}
