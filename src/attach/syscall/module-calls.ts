/** The `syscall` instructions of the files that a process maps: read from the files alone, each once. */
import { findSyscallSites, type SyscallSites } from '../../arch/x64/syscall-sites.ts';
import type { ElfFile } from '../../elf/elf-file.ts';
import { BpfError } from '../../errors.ts';
import type { Module } from '../../process/module.ts';
import { codeMapOf } from '../../process/module-code.ts';
import type { TargetProcess } from '../../process/target-process.ts';

/** A file that makes system calls. */
export interface ModuleSites extends SyscallSites {
  readonly module: Module;
}

/** A `syscall` instruction in a process. */
export interface SyscallPlace {
  readonly module: Module;
  readonly address: bigint;
  /** The call's number, where the code always gives the same. */
  readonly number: number | undefined;
  /** Why no program can be attached there; undefined where one can. */
  readonly refusal: string | undefined;
  /** How many bytes in front of the instruction the jump takes the place of, and how many behind. */
  readonly displaced: readonly [front: number, behind: number];
}

const known = new WeakMap<ElfFile, SyscallSites>();

/** Of what is mapped now. The vDSO is left alone: it is the kernel's. Files that cannot be read are passed over. */
export function moduleSites(process: TargetProcess): readonly ModuleSites[] {
  return process.modules().flatMap((module) => {
    const found = module.path === '[vdso]' ? undefined : sitesOf(module);
    return found === undefined ? [] : [{ ...found, module }];
  });
}

/** Every place where a process may make system calls, as far as decoding its files shows. The process is only read. */
export function syscallPlaces(process: TargetProcess): readonly SyscallPlace[] {
  return moduleSites(process).flatMap(({ module, sites, refusals }) => {
    const place = (at: number) => ({ module, address: module.bias + BigInt(at) });
    return [
      ...sites.map(({ at, number, lead, trail }) => ({
        ...place(at),
        number,
        refusal: undefined,
        displaced: [lead, trail] as const,
      })),
      ...refusals.map(({ at, number, why }) => ({ ...place(at), number, refusal: why, displaced: [0, 0] as const })),
    ].filter(({ address }) => module.holdsCode(address));
  });
}

function sitesOf({ elf }: Module): SyscallSites | undefined {
  try {
    const sites = known.get(elf) ?? findSyscallSites(codeMapOf(elf));
    known.set(elf, sites);
    return sites;
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
