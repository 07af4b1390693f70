/** Every `syscall` instruction in the files that a process maps: found when they are asked for, each file once. */
import type { Injection } from '../../inject/injection.ts';
import type { Module } from '../../process/module.ts';
import { AttachError } from '../errors.ts';
import { type CallProbe, CallSite } from './call-site.ts';
import { type ModuleSites, moduleSites } from './module-calls.ts';

/** Calls of one module, near each other. */
export interface ModuleCalls {
  readonly module: Module;
  readonly calls: readonly CallSite[];
  /** Of those that nothing can be attached to: their numbers, where they are always the same. */
  readonly refused: readonly (number | undefined)[];
}

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

  /** What is mapped now. */
  modules(): readonly ModuleCalls[] {
    return moduleSites(this.#injection.process).map((sites) => this.#callsOf(sites));
  }

  #holds(address: bigint, size: number): boolean {
    for (let n = 0n; n < size; n++) if (this.#owned.has(address + n)) return true;
    return false;
  }

  #callsOf({ module, sites, refusals }: ModuleSites): ModuleCalls {
    const calls = sites.flatMap((site) => {
      const address = module.bias + BigInt(site.at);
      if (!module.holdsCode(address) || module.isSharedAt(address)) return [];
      const call = this.#sites.get(address) ?? new CallSite(this.#injection, module, site);
      this.#sites.set(address, call);
      return [call];
    });
    return { module, calls, refused: refusals.map(({ number }) => number) };
  }
}
