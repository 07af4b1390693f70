/** The eBPF object that a libbpf tool carries within itself: its skeleton holds the whole file as one constant. */
import { readFileSync } from 'node:fs';
import { Ehdr, Machine } from '../../src/elf/header.ts';
import { Shdr } from '../../src/elf/sections.ts';

/** What every such object begins with: 64 bits, little-endian. */
const MAGIC = Buffer.from('7f454c46020101', 'hex');
/** Larger ones no tool has. */
const MAX_SIZE = 16 * 1024 * 1024;

/**
 * The first eBPF object inside an executable.
 *
 * @throws {Error} if there is none
 */
export function embeddedObject(path: string): Uint8Array {
  const file = readFileSync(path);
  for (let at = file.indexOf(MAGIC, 1); at >= 0; at = file.indexOf(MAGIC, at + 1)) {
    const size = sizeOf(file.subarray(at, at + MAX_SIZE));
    if (size !== undefined) return new Uint8Array(file.subarray(at, at + size));
  }
  throw new Error(`cannot find an eBPF object in ${path}`);
}

/** The compiler writes the section headers last. */
function sizeOf(bytes: Uint8Array): number | undefined {
  if (bytes.length < Ehdr.size) return undefined;
  const { machine, shoff, shnum, shentsize } = Ehdr.read(bytes);
  const size = Number(shoff) + shnum * Shdr.size;
  const isObject = machine === Machine.BPF && shentsize === Shdr.size && size > Ehdr.size && size <= bytes.length;
  return isObject ? size : undefined;
}
