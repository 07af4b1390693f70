/** Why ELF files are refused. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const ELF_ERRORS = {
  ELF_TRUNCATED: 'a header, table, section or segment points past the end of the file',
  ELF_BAD_MAGIC: 'the file does not start with 7f 45 4c 46',
  ELF_NOT_64LE: 'only 64-bit little-endian files are read',
  ELF_BAD_HEADER: 'a count, entry size or link in a header is not what the format allows',
  ELF_BAD_STRING: 'a name lies outside its string table, is not terminated, or is longer than 64 KiB',
  ELF_BAD_SYMBOL: 'a symbol index is outside the symbol table',
  ELF_COMPRESSED: 'compressed sections are not read',
} as const;

export type ElfErrorCode = keyof typeof ELF_ERRORS;

export class ElfError extends BpfError {
  override readonly name = 'ElfError';
  override readonly code: ElfErrorCode;

  constructor(code: ElfErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}
