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
  /** Nothing can be attached to any, since their code is relocated when it is loaded. */
  readonly isUnsettled?: true;
}

export class CallSites {
  readonly #injection: Injection;
  /** By address of the instruction. */
  readonly #sites = new Map<bigint, CallSite>();

  /** Of every byte that patched sites displace. */
  readonly #owned = new Set<bigint>();

  constructor(injection: Injection) {
    this.#injection = injection;
    injection.onUnloaded((gone) => this.#forget(gone));
    injection.claims.join(this, (address, size) => this.#holds(address, size));
  }

  /** Has a program run at a call. @throws {AttachError} ATTACH_SITE_OVERLAP, ATTACH_SITE_PATCHED, ATTACH_SITE_INSTRUCTION */
  add(call: CallSite, probe: CallProbe): void {
    if (this.#injection.claims.isTaken(call.bytes[0]!, call.bytes.length, this)) {
      throw new AttachError('ATTACH_SITE_OVERLAP', `cannot attach to ${call.name}: a probe of a function is there`);
    }
    const wasPatched = call.isPatched;
    call.add(probe);
    this.#own(call);
    if (!wasPatched) this.#injection.onFailure(() => this.#disown(call));
  }

  remove(call: CallSite, probe: CallProbe): void {
    const wasPatched = call.isPatched;
    call.remove(probe);
    if (!wasPatched || call.isPatched) return;
    this.#disown(call);
    this.#injection.onFailure(() => this.#own(call));
  }

  /** What is mapped now. */
  modules(): readonly ModuleCalls[] {
    return moduleSites(this.#injection.process).map((sites) => this.#callsOf(sites));
  }

  #own({ bytes }: CallSite): void {
    for (const byte of bytes) this.#owned.add(byte);
  }

  #disown({ bytes }: CallSite): void {
    for (const byte of bytes) this.#owned.delete(byte);
  }

  /** Their library was unloaded. */
  #forget(gone: ReadonlySet<bigint>): void {
    for (const [address, call] of this.#sites) {
      if (!call.bytes.some((byte) => gone.has(byte))) continue;
      call.forget();
      this.#disown(call);
      this.#sites.delete(address);
    }
  }

  #holds(address: bigint, size: number): boolean {
    for (let n = 0n; n < size; n++) if (this.#owned.has(address + n)) return true;
    return false;
  }

  #callsOf({ module, sites, refusals }: ModuleSites): ModuleCalls {
    const refused = refusals.map(({ number }) => number);
    // A library that may be in the middle of its loading.
    if (sites.length > 0 && module.relocatesCode && !this.#injection.process.isLasting(module)) {
      return { module, calls: [], refused: [...refused, ...sites.map(({ number }) => number)], isUnsettled: true };
    }
    const calls = sites.flatMap((site) => {
      const address = module.bias + BigInt(site.at);
      if (!module.holdsCode(address) || module.isSharedAt(address)) return [];
      const known = this.#sites.get(address);
      const call = known?.isOf(module) ? known : new CallSite(this.#injection, module, site);
      this.#sites.set(address, call);
      return [call];
    });
    return { module, calls, refused };
  }
}
