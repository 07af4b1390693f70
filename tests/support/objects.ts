/** The compiled eBPF objects under tests/objects, and edits that spoil them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ElfFile } from '../../src/elf/elf-file.ts';
import { readElf } from '../../src/elf/elf-file.ts';
import { Shdr } from '../../src/elf/sections.ts';
import { ROOT } from './root.ts';

/** Compilers whose output is committed. */
export const COMPILERS = ['clang-14', 'clang-19'] as const;
export type Compiler = (typeof COMPILERS)[number];

/** Where one object lies: 'count' is tests/objects/clang-19/count.bpf.o. */
export function objectPath(name: string, compiler: Compiler = 'clang-19'): string {
  return join(ROOT, 'tests/objects', compiler, `${name}.bpf.o`);
}

/** A fresh copy of one object. */
export function objectFile(name: string, compiler: Compiler = 'clang-19'): Uint8Array {
  return new Uint8Array(readFileSync(objectPath(name, compiler)));
}

/** The names of all objects of one compiler. */
export function objectNames(compiler: Compiler): string[] {
  const suffix = '.bpf.o';
  const files = readdirSync(join(ROOT, 'tests/objects', compiler));
  return files
    .filter((file) => file.endsWith(suffix))
    .map((file) => file.slice(0, -suffix.length))
    .sort();
}

/** Overwrites `bytes` of a section, at `at` bytes from its start. */
export function patchSection(file: Uint8Array, name: string, at: number, bytes: readonly number[]): void {
  file.set(bytes, section(readElf(file), name).offset + at);
}

/** Overwrites fields of a section's header. */
export function patchSectionHeader(
  file: Uint8Array,
  name: string,
  fields: Partial<ReturnType<typeof Shdr.read>>,
): void {
  const elf = readElf(file);
  const at = Number(elf.header.shoff) + section(elf, name).index * Shdr.size;
  Shdr.write(file, at, { ...Shdr.read(file, at), ...fields });
}

/** A copy in which a section holds other bytes: they stand behind all others. */
export function withSection(file: Uint8Array, name: string, bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(file.length + bytes.length);
  copy.set(file);
  copy.set(bytes, file.length);
  patchSectionHeader(copy, name, { offset: BigInt(file.length), size: BigInt(bytes.length) });
  return copy;
}

function section(elf: ElfFile, name: string) {
  const found = elf.section(name);
  if (found === undefined) throw new Error(`no section ${name}`);
  return found;
}
