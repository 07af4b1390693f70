/**
 * All sites of one target, and which bytes are whose: two jumps must not lie over each other. A probe at an instruction
 * that another site has displaced joins that site; sites whose windows would overlap become one.
 */
import { findWindow, JUMP_SIZE, measureWindow, type Window, type WindowRefusal } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import { codeMapOf } from '../../process/module-code.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { AttachError, type AttachErrorCode } from '../errors.ts';
import { ReturnSupport } from './return-support.ts';
import { type SitePlace, type SiteProbe, UprobeSite } from './site.ts';

const REFUSAL_CODES: Readonly<Record<WindowRefusal['reason'], AttachErrorCode>> = {
  'too short': 'ATTACH_SITE_TOO_SHORT',
  'branch into it': 'ATTACH_SITE_BRANCH',
  'cannot be moved': 'ATTACH_SITE_INSTRUCTION',
  'does not decode': 'ATTACH_SITE_UNREADABLE',
  'not in the function': 'ATTACH_SITE_OUTSIDE',
  'not an instruction': 'ATTACH_SITE_BOUNDARY',
};

/** Where a probe is to be. */
export interface ProbePlace {
  readonly target: ResolvedFunction;
  /** In bytes from the function's first. */
  readonly offset: number;
}

/** Where a probe would run, and how it would be reached. */
export interface LocatedProbe {
  readonly site: UprobeSite;
  /** Sites whose jumps that of `site` replaces. */
  readonly absorbed: readonly UprobeSite[];
  /** Address of the instruction in front of which the program runs: behind an endbr64. */
  readonly at: bigint;
  /** 'entry' where flags and what lies below the stack pointer are nobody's; only there can a return be probed. */
  readonly where: SiteProbe['where'];
}

export class UprobeSites {
  readonly #injection: Injection;
  /** By address of the window. A site stays known when its last program is gone: its trampoline may be used again. */
  readonly #sites = new Map<bigint, UprobeSite>();
  /** Of every byte that a patched site has. */
  readonly #owners = new Map<bigint, UprobeSite>();
  /** Where each probe is: a site may have been absorbed by another since it was added. */
  readonly #homes = new Map<SiteProbe, UprobeSite>();

  /** By address of the unwinder. */
  readonly #guards = new Map<bigint, SiteProbe>();
  readonly #returns: ReturnSupport;

  constructor(injection: Injection) {
    this.#injection = injection;
    this.#returns = new ReturnSupport(injection);
  }

  /**
   * Finds out how a place can be probed; nothing is changed.
   *
   * @throws {AttachError} ATTACH_SITE_*
   */
  locate({ target, offset }: ProbePlace): LocatedProbe {
    const window = planWindow(target, offset);
    const at = target.address + BigInt(offset + window.skip);
    // Only what a symbol calls a function, with a size, keeps to the convention; hand-written code may not even then.
    const where = offset === 0 && target.size > 0 && !window.readsFlags ? 'entry' : 'inside';
    // Its jump is in the place of this instruction, so the two are run by one trampoline.
    const owner = this.#owners.get(at);
    if (owner !== undefined) return { site: owner, absorbed: [], at, where };
    const known = this.#sites.get(at - BigInt(window.lead));
    const site = known?.displaces(at) ? known : this.#newSite(target, this.#placeOf(target, at, window));
    const absorbed = this.#ownersOf(site);
    if (absorbed.length > 0) return { ...this.#merge(target, site, absorbed, at), at, where };
    this.#requireUntouched(target, site.place);
    return { site, absorbed, at, where };
  }

  /**
   * Makes ready for probes of the return of `target`: unwinders must never meet a return address that we put away, so from
   * now on they have them all put back first.
   *
   * @throws {AttachError} ATTACH_RETURN_REFUSED, and ATTACH_SITE_* of an unwinder
   */
  prepareReturns(target: ResolvedFunction): void {
    const stack = this.#returns.stackFor(target);
    for (const unwinder of this.#returns.unwinders()) {
      const guard = this.#guards.get(unwinder.address);
      if (guard === undefined) this.#guard(unwinder, stack.restoring(unwinder.address));
      else this.#homes.get(guard)!.renew();
    }
  }

  #guard(unwinder: ResolvedFunction, program: LoweredProgram): void {
    const located = this.locate({ target: unwinder, offset: 0 });
    const guard = { at: located.at, where: located.where, program, isGuard: true };
    this.#join(located, guard);
    this.#guards.set(unwinder.address, guard);
  }

  /**
   * Has a program run at a place that was just located.
   *
   * @returns what takes it off again
   * @throws {AttachError} ATTACH_SITE_INSTRUCTION
   */
  add(located: LocatedProbe, program: Pick<SiteProbe, 'program' | 'missedCell'>): () => void {
    const probe = { at: located.at, where: located.where, ...program };
    this.#join(located, probe);
    return () => {
      const home = this.#homes.get(probe)!;
      home.remove(probe);
      this.#homes.delete(probe);
      if (!home.isPatched) this.#disown(home);
    };
  }

  #join({ site, absorbed }: LocatedProbe, probe: SiteProbe): void {
    for (const other of absorbed) {
      const probes = other.clear();
      this.#disown(other);
      for (const moved of probes) this.#place(site, moved);
    }
    this.#place(site, probe);
  }

  #newSite(target: ResolvedFunction, place: SitePlace): UprobeSite {
    return new UprobeSite(this.#injection, place, () => this.#returns.stackFor(target));
  }

  #place(site: UprobeSite, probe: SiteProbe): void {
    site.add(probe);
    this.#homes.set(probe, site);
    this.#sites.set(site.place.at, site);
    for (const byte of site.bytes()) this.#owners.set(byte, site);
  }

  #disown(site: UprobeSite): void {
    for (const byte of site.bytes()) this.#owners.delete(byte);
  }

  #ownersOf(site: UprobeSite): readonly UprobeSite[] {
    return [...new Set([...site.bytes()].map((byte) => this.#owners.get(byte)).filter((owner) => owner !== undefined))];
  }

  /** One site in the place of several whose windows lie over each other; `at` is to be in it. */
  #merge(target: ResolvedFunction, wanted: UprobeSite, overlapping: readonly UprobeSite[], at: bigint) {
    const { module, address, size } = target;
    const { name } = wanted.place;
    const inFile = (there: bigint): number => Number(there - module.bias);
    const start = Math.min(...[wanted, ...overlapping].map(({ place }) => inFile(place.at)));
    const end = Math.max(inFile(at) + 1, ...overlapping.map((site) => inFile(site.end)));
    const range = { start: inFile(address), end: inFile(address) + size };
    const window = measureWindow(codeMapOf(module.elf), start, range, end - start);
    const refuse = (why: string): never => {
      const others = overlapping.map(({ place }) => place.name).join(', ');
      throw new AttachError(
        'ATTACH_SITE_OVERLAP',
        `cannot attach to ${name}: its jump would lie over that at ${others}`,
        {
          why,
        },
      );
    };
    if ('reason' in window) return refuse(window.detail);
    if (overlapping.some(({ place }) => place.island !== undefined))
      return refuse('one of them is reached by way of padding');
    const bytes = module.elf.bytesAt(BigInt(start), window.length);
    const place = { name, at: BigInt(start) + module.bias, window: bytes, island: undefined };
    const site = this.#newSite(target, place);
    const absorbed = this.#ownersOf(site);
    return absorbed.length === overlapping.length ? { site, absorbed } : refuse('a third jump is in the way');
  }

  #placeOf({ module, name, address }: ResolvedFunction, at: bigint, { lead, length, islands }: Window): SitePlace {
    const bytesAt = (from: bigint, size: number): Uint8Array => module.elf.bytesAt(from - module.bias, size);
    const offset = Number(at - address);
    const start = at - BigInt(lead);
    const place = { name: offset === 0 ? name : `${name}+${offset}`, at: start, window: bytesAt(start, length) };
    if (islands === undefined) return { ...place, island: undefined };
    const free = islands.map((island) => BigInt(island) + module.bias).find((island) => this.#isFree(island));
    if (free === undefined) {
      throw new AttachError('ATTACH_SITE_TOO_SHORT', `cannot attach to ${name}: other probes took the padding near it`);
    }
    return { ...place, island: { at: free, original: bytesAt(free, JUMP_SIZE) } };
  }

  #isFree(island: bigint): boolean {
    for (let n = 0n; n < JUMP_SIZE; n++) if (this.#owners.has(island + n)) return false;
    return true;
  }

  /** Whoever patched the place first would have its patch taken for the original. */
  #requireUntouched({ module }: ResolvedFunction, { name, at, window, island }: SitePlace): void {
    const { memory } = this.#injection.process;
    for (const [address, file] of [[at, window] as const, ...(island ? [[island.at, island.original] as const] : [])]) {
      const found = memory.readUpTo(address, file.length);
      const changed = file.findIndex((byte, index) => byte !== found[index]);
      if (changed < 0) continue;
      throw new AttachError(
        'ATTACH_SITE_PATCHED',
        `cannot attach to ${name}: its byte ${changed} is not what the file has`,
        {
          why: `the code in memory differs from ${module.path}: a debugger, another tracer or another remora has patched it`,
          fix: 'take the other probe off first',
        },
      );
    }
  }
}

/** @throws {AttachError} ATTACH_SITE_* if no jump can be laid there */
export function planWindow({ module, name, address, size }: ResolvedFunction, offset: number): Window {
  const start = Number(address - module.bias);
  const window = findWindow(codeMapOf(module.elf), start + offset, { start, end: start + size });
  if (!('reason' in window)) return window;
  const place = offset === 0 ? name : `${name}+${offset}`;
  throw new AttachError(REFUSAL_CODES[window.reason], `cannot attach to ${place}: ${window.detail}`, {
    why: 'its instructions cannot give way to a jump',
    fix: 'probe another instruction of it, a function that it calls, or one that calls it',
  });
}
