/**
 * Sessions that meet at one place. The jump there leads to the trampoline of the session that came last; behind its programs that
 * leads on to the trampoline that was there before, and so on: only the last one runs the instructions that all of them displaced.
 *
 *     site: jmp C     C: programs ... jmp B     B: programs ... jmp A     A: programs ... displaced instructions
 *
 * In front of a system call the displaced instructions come first, since they make what programs see: the number, the arguments. Only
 * the trampoline that the site leads to runs them; others are led to behind them, `leadIn` bytes from their beginning. At the end the
 * call is made, by the last one if it does not stay in its place.
 *
 * Where there is room for a short jump only, that leads to padding, and the jump there is the one that is changed: sessions meet in
 * the padding. The short jump is the same for all of them, and whoever goes last takes it away.
 *
 * So each session is led to from one place, the site or an onward jump, and whoever leaves has what led to it lead to where it led
 * on itself. Every onward jump that ever was is noted in the journal of its session, since a thread may still be on its way there:
 * code goes only when none leads to it. All of this is read and changed by one controller at a time, under the lock of the process.
 */
import { NEAR_JUMP_SIZE, NEAR_NOP, nearJump, nearJumpTarget } from '../arch/x64/near-jump.ts';
import { shortJumpTarget } from '../arch/x64/short-jump.ts';
import { type AddressRange, isInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { isSysError } from '../sys/errors.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { InjectError } from './errors.ts';
import { FoundJournal, type FoundSite, findJournals } from './found-journal.ts';
import { isInReach } from './gaps.ts';
import type { OnwardNote } from './journal.ts';
import type { Patch } from './patch.ts';

/** A place that leads to a trampoline. */
interface Lead {
  readonly address: bigint;
  readonly bytes: Uint8Array;
  /** The beginning of the trampoline. */
  readonly target: bigint;
  /** How many bytes behind that it leads to. */
  readonly into: number;
  /** What stands there if it leads to no trampoline. */
  readonly unled: Uint8Array;
}

/** A site as one session sees it. */
export interface SeenSite {
  readonly address: bigint;
  readonly original: Uint8Array;
  /** Bytes of displaced instructions that its trampolines begin with. */
  readonly leadIn?: number;
}

/** A site and what a session would have there. */
export interface WantedSite extends SeenSite {
  readonly wanted: Uint8Array;
  /** As of a `SitePatch`. */
  readonly way?: { readonly address: bigint; readonly bytes: Uint8Array };
  /** Where the trampoline that `wanted` leads to may lead on to another. */
  readonly onward?: bigint | undefined;
  /** Bytes from `address` on whose instructions run elsewhere. */
  readonly extent?: number;
  /** As of a `Patch`. */
  readonly leaving?: ReadonlyMap<bigint, bigint>;
}

/** How a change is made where other sessions are. */
export interface Relinking {
  /** In the order in which they are to be made. */
  readonly patches: readonly Patch[];
  /** What has to be noted first. */
  readonly note: OnwardNote | undefined;
}

/** A session, and where its code lies. */
interface Other {
  readonly journal: FoundJournal;
  readonly code: readonly AddressRange[];
}

interface OthersSite extends FoundSite {
  readonly by: Other;
}

/** By address. */
interface SortedSites {
  readonly sites: readonly OthersSite[];
  /** The largest extent. */
  readonly longest: number;
}

const NONE = { moves: new Map<bigint, bigint>() };
const NOTHING: Relinking = { patches: [], note: undefined };

/** All sessions of a process as they are now, as one of them sees them. */
export class Chain {
  /** True if there is a session that this version does not understand. */
  readonly isObscure: boolean;
  readonly #memory: ProcessMemory;
  readonly #mappings: readonly Mapping[];
  readonly #others: readonly Other[];
  /** What the onward jumps lead to that lead anywhere, by the trampoline that they belong to. */
  readonly #onwards: ReadonlyMap<bigint, Lead>;
  readonly #found: readonly FoundJournal[];
  #sites: SortedSites | undefined;
  #leadIns: ReadonlyMap<bigint, number> | undefined;

  private constructor(process: TargetProcess, own: bigint, found: readonly FoundJournal[], isObscure: boolean) {
    this.#memory = process.memory;
    this.#mappings = process.mappings();
    this.isObscure = isObscure;
    this.#found = found;
    const onwards = found.flatMap((journal) => journal.onwards);
    this.#onwards = new Map(
      onwards.flatMap(({ trampoline, address }) => {
        const lead = this.#readOnward(address);
        return lead === undefined ? [] : [[trampoline, lead] as const];
      }),
    );
    this.#others = found
      .filter(({ address }) => address !== own)
      .map((journal) => ({ journal, code: journal.codeRegions(this.#mappings) }));
  }

  /**
   * @param own where the journal of the session is that asks
   * @returns undefined if it is alone
   */
  static of(process: TargetProcess, own: bigint): Chain | undefined {
    const found = findJournals(process.mappings(), process.memory);
    const journals = found.filter((finding) => finding instanceof FoundJournal);
    const isAlone = found.length === 0 || (found.length === 1 && journals[0]?.address === own);
    return isAlone ? undefined : new Chain(process, own, journals, found.length > journals.length);
  }

  /**
   * True if what stands at a site is the jump of another session, which knows the same bytes to be the original ones; of a short
   * jump, if it leads to a trampoline of such a session.
   */
  isOthers({ address, original }: SeenSite, found: Uint8Array): boolean {
    return this.#laidBy({ address, original }, found) !== undefined;
  }

  /** Onward jumps that lead to a trampoline that is meant. */
  leadingTo(isMeant: (trampoline: bigint) => boolean): readonly Lead[] {
    return [...this.#onwards.values()].filter(({ target }) => isMeant(target));
  }

  /** Where threads go on behind the programs of a trampoline; undefined if it runs the displaced instructions itself. */
  behind(trampoline: bigint): bigint | undefined {
    return this.#onwards.get(trampoline)?.target;
  }

  /** A site of another session that has instructions of the bytes displaced, other than one at the very same address. */
  overlapping(address: bigint, size: number): FoundSite | undefined {
    return this.#sitesIn(address, size).find((site) => site.address !== address && this.#isLaid(site));
  }

  /**
   * What has to be changed so that threads come to `site.wanted`, or past it, whatever other sessions have made of its place.
   *
   * @param present what the session has there, undefined for nothing
   * @returns undefined if nobody else is at the place
   * @throws {InjectError} INJECT_SITE_CHANGED if the place cannot be shared
   */
  relink(site: WantedSite, present: Uint8Array | undefined): Relinking | undefined {
    const isUndo = isSame(site.wanted, site.original);
    if (present === undefined) return isUndo ? undefined : this.#enter(site);
    // What leads to padding stays as long as somebody else is there.
    if (shortJumpTarget(site.address, present) !== undefined) {
      return isUndo && this.isOthers(site, present) ? NOTHING : undefined;
    }
    const trampoline = nearJumpTarget(site.address, present);
    if (trampoline === undefined) return undefined;
    const leads = [...this.leadingTo((target) => target === trampoline)];
    const found = this.#memory.readUpTo(site.address, site.original.length);
    if (isSame(found, present)) {
      leads.push({ address: site.address, bytes: found, target: trampoline, into: 0, unled: site.original });
    }
    const below = this.behind(trampoline);
    const isAlone = below === undefined && leads.every(({ address }) => address === site.address);
    if (isAlone || leads.length === 0) return undefined;
    const next = isUndo ? below : nearJumpTarget(site.address, site.wanted);
    const { patches, note } = isUndo ? NOTHING : this.#leadOn(site, below);
    const moved = leads.map((lead, n) => ({ ...patchOf(lead, next), ...(n === 0 && { leaving: leavingOf(site) }) }));
    return { patches: [...patches, ...moved], note };
  }

  /** Where threads go on that come to a site for which a session has laid a trampoline: what is there now. */
  belowSite(site: SeenSite, present: Uint8Array | undefined): bigint | undefined {
    const { address, original, leadIn = 0 } = site;
    if (present !== undefined) {
      const trampoline = nearJumpTarget(address, present);
      return trampoline === undefined ? undefined : this.behind(trampoline);
    }
    const found = readOrNothing(this.#memory, address, original.length);
    const laid = this.#laidBy(site, found);
    // Who has run the displaced instructions must not come to what runs them once more.
    const isBehind = laid !== undefined && (leadIn === 0 || laid.leadIn === leadIn);
    return isBehind ? nearJumpTarget(address, found) : undefined;
  }

  /** What takes a trampoline out of its chain: all that leads to it leads to where it leads on. */
  bypassing(lead: Lead): Patch {
    return patchOf(lead, this.behind(lead.target));
  }

  /** The site of another session whose jump `found` is. */
  #laidBy({ address, original }: SeenSite, found: Uint8Array): FoundSite | undefined {
    const target = nearJumpTarget(address, found);
    const padding = shortJumpTarget(address, found);
    if (target === undefined && padding === undefined) return undefined;
    const isLed = ({ code }: Other): boolean =>
      target === undefined ? this.#leadsTo(padding!, code) : isInside(code, target);
    return this.#sitesIn(address, 1).find(
      (site) =>
        site.address === address &&
        isSame(site.original, original) &&
        site.ours.some((bytes) => isSame(bytes, found)) &&
        isLed(site.by),
    );
  }

  /** True if threads come by way of the near jump at `from` to a trampoline in `code`. */
  #leadsTo(from: bigint, code: readonly AddressRange[]): boolean {
    let trampoline = nearJumpTarget(from, readOrNothing(this.#memory, from, NEAR_JUMP_SIZE));
    // The target may have made a ring of it.
    for (let n = 0; trampoline !== undefined && n <= this.#onwards.size; n++) {
      if (isInside(code, trampoline)) return true;
      trampoline = this.behind(trampoline);
    }
    return false;
  }

  /** A session comes to a place where it is not yet. */
  #enter(site: WantedSite): Relinking | undefined {
    this.#requireFree(site);
    const { address, original, wanted, way } = site;
    const found = this.#memory.readUpTo(address, original.length);
    const isShort = shortJumpTarget(address, wanted) !== undefined;
    if (isShort && isSame(found, wanted) && this.isOthers(site, found)) return NOTHING;
    const below = this.belowSite(site, undefined);
    if (below !== undefined && way !== undefined) this.#requireWay(way);
    const { patches, note } = this.#leadOn(site, below);
    if (below === undefined) return undefined;
    return { patches: [...patches, { address, expected: found, replacement: wanted, ...NONE }], note };
  }

  /** Padding that another session goes by from elsewhere leads to the instructions of another place. */
  #requireWay({ address, bytes }: NonNullable<WantedSite['way']>): void {
    if (isSame(readOrNothing(this.#memory, address, bytes.length), bytes)) return;
    throw new InjectError(
      'INJECT_SITE_CHANGED',
      `cannot change code at 0x${address.toString(16)}: another session came or went there, by way of other padding`,
      { fix: 'try again' },
    );
  }

  /** Has the trampoline of `site` lead on to `below`. One that threads may be in must do so already: see `UprobeSite`. */
  #leadOn({ address, onward, wanted, leadIn = 0 }: WantedSite, below: bigint | undefined): Relinking {
    const trampoline = nearJumpTarget(address, wanted);
    if (trampoline === undefined || this.behind(trampoline) === below) return NOTHING;
    const present = onward === undefined ? undefined : this.#memory.read(onward, NEAR_JUMP_SIZE);
    if (onward === undefined || below === undefined || !isSame(present!, NEAR_NOP) || !isInReach(onward, below, 0)) {
      throw new InjectError(
        'INJECT_SITE_CHANGED',
        `cannot change code at 0x${address.toString(16)}: another session came or went there, and cannot be led on to`,
        { fix: 'try again' },
      );
    }
    const replacement = nearJump(onward, below + BigInt(leadIn));
    const patch = { address: onward, expected: NEAR_NOP, replacement, ...NONE };
    return { patches: [patch], note: { address: onward, trampoline } };
  }

  #requireFree({ address, original, extent = original.length }: WantedSite): void {
    const other = this.overlapping(address, extent);
    if (other === undefined) return;
    throw new InjectError(
      'INJECT_SITE_CHANGED',
      `cannot change code at 0x${address.toString(16)}: another session has displaced instructions at 0x${other.address.toString(16)}`,
      { why: 'its jump and ours would lie over each other', fix: 'take the other probe off first' },
    );
  }

  #isLaid({ address, original }: FoundSite): boolean {
    return !isSame(readOrNothing(this.#memory, address, original.length), original);
  }

  /** Only what is our code, and nobody else's: the journal is written by the target. */
  #readOnward(address: bigint): Lead | undefined {
    const mapping = mappingAt(this.#mappings, address);
    if (mapping?.permissions !== 'r-xp' || mapping.inode !== 0n) return undefined;
    const bytes = readOrNothing(this.#memory, address, NEAR_JUMP_SIZE);
    const reached = nearJumpTarget(address, bytes);
    if (reached === undefined) return undefined;
    this.#leadIns ??= leadInsOf(this.#found);
    const into = this.#leadIns.get(reached) ?? 0;
    return { address, bytes, target: reached - BigInt(into), into, unled: NEAR_NOP };
  }

  /** Sites of others that have displaced any of `size` bytes at `address`. */
  #sitesIn(address: bigint, size: number): readonly OthersSite[] {
    this.#sites ??= sorted(this.#others.flatMap((by) => by.journal.sites.map((site) => ({ ...site, by }))));
    const { sites, longest } = this.#sites;
    const end = address + BigInt(size);
    const from = address - BigInt(longest);
    let [low, high] = [0, sites.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sites[middle]!.address <= from) low = middle + 1;
      else high = middle;
    }
    const near: OthersSite[] = [];
    for (let n = low; n < sites.length && sites[n]!.address < end; n++) {
      const site = sites[n]!;
      if (site.address + BigInt(site.extent) > address) near.push(site);
    }
    return near;
  }
}

/** Whoever has run the displaced instructions leads on behind them, whoever has not to the beginning: that stays so. */
function patchOf({ address, bytes, unled, into }: Lead, trampoline: bigint | undefined): Patch {
  const next = trampoline === undefined ? undefined : trampoline + BigInt(into);
  if (next !== undefined && !isInReach(address, next, 0)) {
    throw new InjectError(
      'INJECT_SITE_BUSY',
      `cannot take a trampoline out of its chain: 0x${next.toString(16)} is out of reach of 0x${address.toString(16)}`,
      { fix: 'take the other session there off first' },
    );
  }
  const replacement = next === undefined ? unled : nearJump(address, next);
  return { address, expected: bytes, replacement, ...NONE };
}

/** Where threads are led to that were not led to a trampoline's beginning, and how far behind it that is. */
function leadInsOf(journals: readonly FoundJournal[]): ReadonlyMap<bigint, number> {
  const sites = journals.flatMap((journal) => journal.sites).filter(({ leadIn }) => leadIn > 0);
  return new Map(
    sites.flatMap(({ address, ours, leadIn }) =>
      ours.flatMap((bytes) => {
        const trampoline = nearJumpTarget(address, bytes);
        return trampoline === undefined ? [] : [[trampoline + BigInt(leadIn), leadIn] as const];
      }),
    ),
  );
}

/** Who waits in a call of ours makes it again where it came from, unless others have their jump there. */
function leavingOf({ address, original, extent = original.length, leaving = new Map() }: WantedSite) {
  const isTaken = (to: bigint): boolean => to >= address && to < address + BigInt(extent);
  return new Map([...leaving].filter(([, to]) => !isTaken(to)));
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function sorted(sites: OthersSite[]): SortedSites {
  sites.sort((a, b) => (a.address < b.address ? -1 : 1));
  return { sites, longest: sites.reduce((longest, { extent }) => Math.max(longest, extent), 0) };
}

/** Nothing where nothing is mapped. */
function readOrNothing(memory: ProcessMemory, address: bigint, size: number): Uint8Array {
  try {
    return memory.readUpTo(address, size);
  } catch (error) {
    if (isSysError(error, 'SYS_EIO')) return new Uint8Array(0);
    throw error;
  }
}
