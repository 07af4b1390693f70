/** The one bounds check that every table and section of a file goes through. */
import type { Fields, Struct, Values } from '../bytes/struct.ts';
import { ElfError } from './errors.ts';

/**
 * `size` bytes of `file` at `offset`, not copied. Offsets and sizes are compared as they come from the file, up to 2^64.
 *
 * @param what named in the message
 * @throws {ElfError} ELF_TRUNCATED
 */
export function slice(file: Uint8Array, offset: number, size: number, what: string): Uint8Array {
  if (offset > file.length || size > file.length - offset) {
    throw new ElfError('ELF_TRUNCATED', `cannot read ${what}: ${size} bytes at ${offset}, the file has ${file.length}`);
  }
  return file.subarray(offset, offset + size);
}

/**
 * Reads `count` rows of `row` at `offset`.
 *
 * @throws {ElfError} ELF_TRUNCATED, ELF_BAD_HEADER if the file's own `entrySize` differs from the row's
 */
export function readTable<F extends Fields>(
  file: Uint8Array,
  at: { readonly offset: number; readonly count: number; readonly entrySize: number },
  row: Struct<F>,
  what: string,
): Values<F>[] {
  if (at.count === 0) return [];
  checkEntrySize(at.entrySize, row, what);
  const bytes = slice(file, at.offset, at.count * row.size, what);
  return Array.from({ length: at.count }, (_, index) => row.read(bytes, index * row.size));
}

/** @throws {ElfError} ELF_BAD_HEADER */
export function checkEntrySize(
  entrySize: number,
  row: { readonly name: string; readonly size: number },
  what: string,
): void {
  if (entrySize !== row.size) {
    throw new ElfError(
      'ELF_BAD_HEADER',
      `cannot read ${what}: entries of ${entrySize} bytes, ${row.name} has ${row.size}`,
    );
  }
}
