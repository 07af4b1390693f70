/** Every `syscall` instruction in the files that a process maps: found when they are asked for, each file once. */
import { findSyscallSites, type SyscallSites } from '../../arch/x64/syscall-sites.ts';
import type { ElfFile } from '../../elf/elf-file.ts';
import { BpfError } from '../../errors.ts';
import type { Injection } from '../../inject/injection.ts';
import type { Module } from '../../process/module.ts';
import { codeMapOf } from '../../process/module-code.ts';
import { AttachError } from '../errors.ts';
import { type CallProbe, CallSite } from './call-site.ts';

/** Calls of one module, near each other. */
export interface ModuleCalls {
  readonly module: Module;
  readonly calls: readonly CallSite[];
  /** How many there are that nothing can be attached to. */
  readonly refused: number;
}

const known = new WeakMap<ElfFile, SyscallSites>();

export class CallSites {
  readonly #injection: Injection;
  /** By address of the instruction. */
  readonly #sites = new Map<bigint, CallSite>();

  /** Of every byte that patched sites displace. */
  readonly #owned = new Set<bigint>();

  constructor(injection: Injection) {
    this.#injection = injection;
    injection.claims.join(this, (address, size) => this.#holds(address, size));
  }

  /** Has a program run at a call. @throws {AttachError} ATTACH_SITE_OVERLAP, ATTACH_SITE_PATCHED, ATTACH_SITE_INSTRUCTION */
  add(call: CallSite, probe: CallProbe): void {
    if (this.#injection.claims.isTaken(call.bytes[0]!, call.bytes.length, this)) {
      throw new AttachError('ATTACH_SITE_OVERLAP', `cannot attach to ${call.name}: a probe of a function is there`);
    }
    call.add(probe);
    for (const byte of call.bytes) this.#owned.add(byte);
  }

  remove(call: CallSite, probe: CallProbe): void {
    call.remove(probe);
    if (!call.isPatched) for (const byte of call.bytes) this.#owned.delete(byte);
  }

  /** What is mapped now. The vDSO is left alone: it is the kernel's. */
  modules(): readonly ModuleCalls[] {
    return this.#injection.process
      .modules()
      .flatMap((module) => (module.path === '[vdso]' ? [] : this.#callsOf(module)));
  }

  #holds(address: bigint, size: number): boolean {
    for (let n = 0n; n < size; n++) if (this.#owned.has(address + n)) return true;
    return false;
  }

  #callsOf(module: Module): ModuleCalls[] {
    const found = sitesOf(module);
    if (found === undefined) return [];
    const calls = found.sites.flatMap((site) => {
      const address = module.bias + BigInt(site.at);
      if (!module.holdsCode(address) || module.isSharedAt(address)) return [];
      const call = this.#sites.get(address) ?? new CallSite(this.#injection, module, site);
      this.#sites.set(address, call);
      return [call];
    });
    return [{ module, calls, refused: found.refusals.length }];
  }
}

/** Undefined for a file that cannot be read. */
function sitesOf(module: Module): SyscallSites | undefined {
  try {
    const { elf } = module;
    const sites = known.get(elf) ?? findSyscallSites(codeMapOf(elf));
    known.set(elf, sites);
    return sites;
  } catch (error) {
    if (error instanceof BpfError) return undefined;
    throw error;
  }
}
