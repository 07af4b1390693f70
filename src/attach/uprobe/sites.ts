/**
 * All sites of one target, and which bytes are whose: two jumps must not lie over each other. A probe at an instruction
 * that another site has displaced joins that site; sites whose windows would overlap become one. What is remembered of them
 * follows what was really changed: where a batch fails it is put back.
 */
import { JUMP_SIZE, measureWindow } from '../../arch/x64/window.ts';
import type { LoweredProgram } from '../../compile/compile.ts';
import type { Injection } from '../../inject/injection.ts';
import { originAt } from '../../process/code-origin.ts';
import { codeMapOf } from '../../process/module-code.ts';
import type { ResolvedFunction } from '../../process/resolve-function.ts';
import { AttachError } from '../errors.ts';
import { takeOffLeft } from './left-sessions.ts';
import { type ProbePlace, planProbe, requireUntouched, type SitePlace, sitePlaceOf } from './plan.ts';
import { ReturnSupport } from './return-support.ts';
import { type SiteProbe, UprobeSite } from './site.ts';
import { SiteIndex } from './site-index.ts';

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
  /** Which bytes the patched ones have. */
  readonly #owners = new SiteIndex();
  /** Where each probe is: a site may have been absorbed by another since it was added. */
  readonly #homes = new Map<SiteProbe, UprobeSite>();

  /** The probes of unwinders, by their addresses. */
  readonly #guarded = new Map<bigint, SiteProbe>();
  readonly #returns: ReturnSupport;

  constructor(injection: Injection) {
    this.#injection = injection;
    this.#returns = new ReturnSupport(injection);
    injection.onUnloaded((gone) => this.#forget(gone));
    injection.claims.join(this, (address, size) => this.#owners.touches(address, size));
  }

  /**
   * Finds out how a place can be probed; nothing is changed.
   *
   * @throws {AttachError} ATTACH_SITE_*
   */
  locate(wanted: ProbePlace): LocatedProbe {
    const { target } = wanted;
    const plan = planProbe(wanted);
    const { at, where, window } = plan;
    // Its jump is in the place of this instruction, so the two are run by one trampoline.
    const owner = this.#owners.at(at);
    if (owner !== undefined) return { site: owner, absorbed: [], at, where };
    const known = this.#sites.get(at - BigInt(window.lead));
    const { process } = this.#injection;
    const place = sitePlaceOf(target, process, plan, (island) => !this.#owners.touches(island, JUMP_SIZE));
    // A library may have come to where another was, and another session to padding that is another.
    const isSame = known?.displaces(at) && known.place.elf === place.elf && known.place.island?.at === place.island?.at;
    const site = known !== undefined && isSame ? known : this.#newSite(target, place);
    const absorbed = this.#owners.sharingBytesWith(site);
    if (absorbed.length > 0) return { ...this.#merge(target, site, absorbed, at), at, where };
    if (site.ranges.some(({ at: start, size }) => this.#injection.claims.isTaken(start, size, this))) {
      throw new AttachError(
        'ATTACH_SITE_OVERLAP',
        `cannot attach to ${site.place.name}: a traced system call is there`,
        {
          why: 'the instructions that its jump would replace have given way to another',
          fix: 'attach to the system call instead, or take that off first',
        },
      );
    }
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
    const unwinders = this.#returns.unwindersFor(target);
    // What sessions that ended had to leave would be there for ever.
    if (this.#guarded.size === 0) takeOffLeft(this.#injection.process);
    const stack = this.#returns.stackFor(target);
    for (const unwinder of unwinders) {
      if (!this.#guarded.has(unwinder.address)) this.#guard(unwinder, stack.restoring(unwinder.address));
    }
  }

  /** Their library was unloaded. */
  #forget(gone: ReadonlySet<bigint>): void {
    for (const site of this.#owners.sites) {
      if (!site.ranges.some(({ at }) => gone.has(at))) continue;
      for (const probe of site.forget()) this.#homes.delete(probe);
      this.#owners.delete(site);
    }
    for (const [address, probe] of this.#guarded) if (!this.#homes.has(probe)) this.#guarded.delete(address);
  }

  #guard(unwinder: ResolvedFunction, program: LoweredProgram): void {
    const located = this.locate({ target: unwinder, offset: 0 });
    const probe = { at: located.at, where: located.where, program, isGuard: true };
    this.#join(located, probe);
    this.#guarded.set(unwinder.address, probe);
    this.#injection.onFailure(() => this.#guarded.delete(unwinder.address));
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
    return () => this.#injection.batch(() => this.#remove(probe));
  }

  #join({ site, absorbed }: LocatedProbe, probe: SiteProbe): void {
    this.#injection.batch(() => {
      for (const other of absorbed) {
        const probes = other.clear();
        this.#disown(other);
        for (const moved of probes) this.#place(site, moved);
      }
      this.#place(site, probe);
    });
  }

  #remove(probe: SiteProbe): void {
    const home = this.#homes.get(probe);
    // It is off already, or what it came with failed.
    if (home === undefined) return;
    home.remove(probe);
    this.#settle(probe, undefined);
    if (!home.isPatched) this.#disown(home);
  }

  /** A session that ended with a thread in its code may have left something there that cannot be shared. */
  #requireUntouched(target: ResolvedFunction, place: SitePlace): void {
    const { process } = this.#injection;
    const check = (): void =>
      requireUntouched(process, target, place, (address, original, found) =>
        this.#injection.isOthers({ address, original }, found),
      );
    try {
      check();
    } catch (error) {
      if (!(error instanceof AttachError) || error.code !== 'ATTACH_SITE_PATCHED' || !takeOffLeft(process)) throw error;
      check();
    }
  }

  #newSite(target: ResolvedFunction, place: SitePlace): UprobeSite {
    const { process } = this.#injection;
    const { module } = target;
    const mappings = process.isLasting(module) ? [] : module.mappings;
    return new UprobeSite(this.#injection, place, {
      returnStack: () => this.#returns.stackFor(target),
      originAt: (address) => originAt(mappings, address),
    });
  }

  #place(site: UprobeSite, probe: SiteProbe): void {
    site.add(probe);
    this.#settle(probe, site);
    this.#sites.set(site.place.at, site);
    if (this.#owners.has(site)) return;
    this.#owners.add(site);
    this.#injection.onFailure(() => this.#owners.delete(site));
  }

  #disown(site: UprobeSite): void {
    this.#owners.delete(site);
    this.#injection.onFailure(() => this.#owners.add(site));
  }

  #settle(probe: SiteProbe, home: UprobeSite | undefined): void {
    const before = this.#homes.get(probe);
    this.#injection.onFailure(() => setOrDelete(this.#homes, probe, before));
    setOrDelete(this.#homes, probe, home);
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
    const place = { name, at: BigInt(start) + module.bias, window: bytes, island: undefined, elf: module.elf };
    const site = this.#newSite(target, place);
    const absorbed = this.#owners.sharingBytesWith(site);
    return absorbed.length === overlapping.length ? { site, absorbed } : refuse('a third jump is in the way');
  }
}

function setOrDelete<K, V>(map: Map<K, V>, key: K, value: V | undefined): void {
  if (value === undefined) map.delete(key);
  else map.set(key, value);
}
