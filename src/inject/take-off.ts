/**
 * Taking a session off from outside, by its journal alone: the bytes of its sites, then its memory. What is changed is what
 * the journal says and the memory confirms: a site that stands as neither this session nor the file has it is left alone,
 * and with it the code that it may lead to.
 */

import { NEAR_JUMP_SIZE, nearJumpTarget } from '../arch/x64/near-jump.ts';
import type { RemoteCalls } from '../process/remote-calls.ts';
import { type AddressRange, isInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { Chain } from './chain.ts';
import { otherSharers, withoutShared } from './common-region.ts';
import type { FoundJournal, FoundSite } from './found-journal.ts';
import { PAGE_SIZE } from './gaps.ts';
import { RegionKind } from './journal.ts';
import { type Leaving, leaveTogether } from './leaving.ts';
import { applyPatches, type Patch } from './patch.ts';
import type { Region } from './regions.ts';

/**
 * Puts back what code in `ranges` has put onto the return stack at `address`; called with all threads stopped.
 *
 * @param stackPointers of threads that may be at work with it
 * @returns false if one of them is; nothing is changed then
 */
export type ReleaseReturns = (
  process: TargetProcess,
  address: bigint,
  ranges: readonly AddressRange[],
  stackPointers: readonly bigint[],
) => boolean;

/** What taking a session off has done. */
export interface TakenOff {
  /** How many sites were put back. */
  readonly restored: number;
  /** Sites that somebody else has changed since. */
  readonly foreign: readonly bigint[];
  /** 'released'; or left there: for its living controller to take, or because a thread, or a changed site, may still lead to it. */
  readonly memory: 'released' | 'its controller’s' | 'in use';
}

/**
 * @throws {ProcessError} as `TargetProcess.stopThreads` does
 * @throws {InjectError} INJECT_SITE_CHANGED if somebody changes a site at the same time, INJECT_SITE_BUSY
 */
export function takeOff(process: TargetProcess, journal: FoundJournal, releaseReturns: ReleaseReturns): TakenOff {
  using _lock = process.lock();
  const isLed = journal.hasController === true && !journal.isClosed;
  const mappings = process.mappings();
  const regions = journal.regions.filter((region) => journal.holds(region, mappings));
  const code = journal.codeRegions(mappings);
  const sites = new Sites(process, journal, code);
  let restored = sites.restore(({ isGuard }) => !isGuard);
  journal.close();
  if (isLed) return { restored, foreign: sites.foreign(), memory: 'its controller’s' };
  // A signature has a page of its own.
  const stacks = regions
    .filter(({ kind }) => kind === RegionKind.RETURNS)
    .map(({ address }) => address + BigInt(PAGE_SIZE));
  const sharers = otherSharers(process, journal.address);
  const leaving: Leaving = {
    ranges: code,
    beside: sharers.flatMap((sharer) => sharer.code),
    letGo: (stackPointers) => stacks.every((address) => releaseReturns(process, address, code, stackPointers)),
  };
  const stay = (): TakenOff => ({ restored, foreign: sites.foreign(), memory: 'in use' });
  // While a thread is on its way back through our code, unwinders must find their guards.
  if (sites.hasGuards && !leaveTogether(process, leaving)) return stay();
  restored += sites.restore(() => true);
  if (sites.foreign().length > 0 || sites.isLedTo()) return stay();
  // Last what says what all the others are.
  const mapped: readonly Region[] = [...withoutShared(regions, sharers), journal.whole];
  const finish = (calls: () => RemoteCalls): void => {
    // Two may take off one session at the same time; now only we are here.
    if (!isStillThere(process, journal)) return;
    calls().run(mapped.map(({ address, size }) => ({ name: 'munmap', args: [address, size] })));
  };
  const isGone = leaveTogether(process, { ...leaving, finish });
  return isGone ? { restored, foreign: [], memory: 'released' } : stay();
}

function isStillThere(process: TargetProcess, journal: FoundJournal): boolean {
  return process.mappings().some((m) => m.start === journal.address && m.path === '/memfd:remora');
}

class Sites {
  readonly #process: TargetProcess;
  readonly #code: readonly AddressRange[];
  readonly #own: bigint;
  /** Newest first: what was laid last is taken down first. */
  readonly #sites: readonly FoundSite[];

  constructor(process: TargetProcess, journal: FoundJournal, code: readonly AddressRange[]) {
    this.#process = process;
    this.#code = code;
    this.#own = journal.address;
    this.#sites = journal.sites.filter(({ address }) => journal.isTargetCode(address)).toReversed();
  }

  get hasGuards(): boolean {
    return this.#sites.some(({ isGuard }) => isGuard);
  }

  /** Puts sites back; again, until none is left: one may have lain over another. Gives their number. */
  restore(isMeant: (site: FoundSite) => boolean): number {
    let restored = 0;
    for (;;) {
      const chain = this.#chain();
      const patches = [...this.#bypasses(chain, isMeant), ...this.#patches(chain, isMeant)];
      if (patches.length === 0) return restored;
      applyPatches(this.#process, patches);
      restored += patches.length;
    }
  }

  /** Sites that are neither as they were, nor as this session or another one that led to it made them. */
  foreign(): readonly bigint[] {
    const chain = this.#chain();
    return this.#sites
      .filter((site) => {
        if (site.isUnloaded) return false;
        const found = this.#read(site);
        return found !== undefined && !isSame(found, site.original) && chain?.isOthers(site, found) !== true;
      })
      .map(({ address }) => address);
  }

  /** True if threads may still come to its code by way of another session's. */
  isLedTo(): boolean {
    const chain = this.#chain();
    return chain !== undefined && (chain.isObscure || this.#leads(chain).length > 0);
  }

  #chain(): Chain | undefined {
    return Chain.of(this.#process, this.#own);
  }

  #leads(chain: Chain) {
    return chain.leadingTo((target) => isInside(this.#code, target));
  }

  /** Where trampolines of others lead to its own. Guards are not told from other sites there: they go last. */
  #bypasses(chain: Chain | undefined, isMeant: (site: FoundSite) => boolean): Patch[] {
    if (chain === undefined) return [];
    const kept = new Set(this.#sites.filter((site) => !isMeant(site)).flatMap((site) => targetsOf(site)));
    return this.#leads(chain)
      .filter(({ target }) => !kept.has(target))
      .map((lead) => chain.bypassing(lead));
  }

  #patches(chain: Chain | undefined, isMeant: (site: FoundSite) => boolean): Patch[] {
    const patches: Patch[] = [];
    const taken = new Set<bigint>();
    for (const site of this.#sites) {
      const found = this.#read(site);
      if (!isMeant(site) || found === undefined || isSame(found, site.original) || !this.#isOurs(site, found)) continue;
      // A short jump to padding where others are is theirs too.
      if (nearJumpTarget(site.address, found) === undefined && chain?.isOthers(site, found) === true) continue;
      const bytes = Array.from(found, (_, n) => site.address + BigInt(n));
      if (bytes.some((byte) => taken.has(byte))) continue;
      for (const byte of bytes) taken.add(byte);
      patches.push(this.#undo(chain, site, found));
    }
    return patches;
  }

  /** What stood there before, or the jump to the session that it led on to. */
  #undo(chain: Chain | undefined, { address, original }: FoundSite, found: Uint8Array): Patch {
    const target = nearJumpTarget(address, found);
    if (chain === undefined || target === undefined) {
      return { address, expected: found, replacement: original, moves: new Map() };
    }
    return chain.bypassing({ address, bytes: found, target, into: 0, unled: original });
  }

  /** As noted; or, in a child forked before a change that only its parent got, a jump to this session's code. */
  #isOurs({ address, original, ours }: FoundSite, found: Uint8Array): boolean {
    if (ours.some((bytes) => isSame(bytes, found))) return true;
    if (!isSame(found.subarray(NEAR_JUMP_SIZE), original.subarray(NEAR_JUMP_SIZE))) return false;
    const target = nearJumpTarget(address, found.subarray(0, NEAR_JUMP_SIZE));
    return target !== undefined && isInside(this.#code, target);
  }

  /** undefined where nothing is mapped any more. */
  #read({ address, original }: FoundSite): Uint8Array | undefined {
    const found = this.#process.memory.readUpTo(address, original.length);
    return found.length === original.length ? found : undefined;
  }
}

/** The trampolines that a site leads to, or is about to. */
function targetsOf({ address, ours }: FoundSite): readonly bigint[] {
  return ours.flatMap((bytes) => nearJumpTarget(address, bytes) ?? []);
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
