/** The file header: what is accepted, and every refusal. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ElfError } from './errors.ts';
import { Machine, readFileHeader } from './header.ts';

/** The smallest header we accept; `patch` overwrites bytes at an offset. */
function header(patch: Record<number, number> = {}): Uint8Array {
  const file = new Uint8Array(64);
  file.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]); // magic, 64-bit, little-endian, version 1
  file[0x12] = Machine.BPF;
  for (const [at, byte] of Object.entries(patch)) file[Number(at)] = byte;
  return file;
}

describe('readFileHeader', () => {
  it('reads the machine', () => {
    assert.equal(readFileHeader(header()).machine, Machine.BPF);
  });

  for (const [why, file, code] of [
    ['an empty file', new Uint8Array(0), 'ELF_TRUNCATED'],
    ['63 bytes', header().subarray(0, 63), 'ELF_TRUNCATED'],
    ['another magic', header({ 0: 0x7e }), 'ELF_BAD_MAGIC'],
    ['a 32-bit file', header({ 4: 1 }), 'ELF_NOT_64LE'],
    ['a big-endian file', header({ 5: 2 }), 'ELF_NOT_64LE'],
  ] as const) {
    it(`refuses ${why} with ${code}`, () => {
      assert.throws(
        () => readFileHeader(file),
        (e) => e instanceof ElfError && e.code === code,
      );
    });
  }
});
