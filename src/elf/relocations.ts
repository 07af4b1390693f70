/**
 * Relocation tables: REL (BPF objects) and RELA (x86-64).
 * Source: System V ABI, "Relocation"; struct Elf64_Rel and Elf64_Rela in <elf.h>.
 */
import { struct } from '../bytes/struct.ts';

/** struct Elf64_Rel. */
export const Rel = struct('Elf64_Rel', 16, { offset: 'u64', type: 'u32', symbol: 'u32' });

/** struct Elf64_Rela. */
export const Rela = struct('Elf64_Rela', 24, { offset: 'u64', type: 'u32', symbol: 'u32', addend: 'i64' });

/** r_type values of dynamic relocations on x86-64: how a module's GOT is filled. */
export const X64Relocation = { GLOB_DAT: 6, JUMP_SLOT: 7, RELATIVE: 8, IRELATIVE: 37 } as const;

export interface Relocation {
  /** Object files: bytes from the start of the section it applies to. Elsewhere an address before relocation. */
  readonly offset: bigint;
  readonly type: number;
  /** Index in the symbol table; not checked. */
  readonly symbol: number;
  /** undefined for REL: the addend stands at the place itself. */
  readonly addend: bigint | undefined;
}

/** Rows one by one; a rest shorter than a row is ignored. */
export function* readRelocations(bytes: Uint8Array, row: typeof Rel | typeof Rela): Generator<Relocation> {
  for (let at = 0; at + row.size <= bytes.length; at += row.size) {
    yield row === Rela ? Rela.read(bytes, at) : { ...Rel.read(bytes, at), addend: undefined };
  }
}
