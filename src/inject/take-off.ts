/**
 * Taking a session off from outside, by its journal alone: the bytes of its sites, then its memory. What is changed is what
 * the journal says and the memory confirms: a site that stands as neither this session nor the file has it is left alone,
 * and with it the code that it may lead to.
 */

import { type AddressRange, isInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import type { FoundJournal, FoundSite } from './found-journal.ts';
import { PAGE_SIZE } from './gaps.ts';
import { RegionKind } from './journal.ts';
import { leaveTogether } from './leaving.ts';
import { applyPatches, type Patch } from './patch.ts';
import type { Region } from './regions.ts';

/** Puts back what the region of a return stack holds; called with all threads stopped. */
export type ReleaseReturns = (process: TargetProcess, address: bigint) => void;

/** What taking a session off has done. */
export interface TakenOff {
  /** How many sites were put back. */
  readonly restored: number;
  /** Sites that somebody else has changed since. */
  readonly foreign: readonly bigint[];
  /** 'released'; or left there: for its living controller to take, or because a thread, or a changed site, may still lead to it. */
  readonly memory: 'released' | 'its controller’s' | 'in use';
}

/** jmp rel32 */
const JUMP = 0xe9;
const JUMP_SIZE = 5;

/**
 * @throws {ProcessError} as `TargetProcess.stopThreads` does
 * @throws {InjectError} INJECT_SITE_CHANGED if somebody changes a site at the same time, INJECT_SITE_BUSY
 */
export function takeOff(process: TargetProcess, journal: FoundJournal, releaseReturns: ReleaseReturns): TakenOff {
  const isLed = journal.hasController === true && !journal.isClosed;
  const mappings = process.mappings();
  const regions = journal.regions.filter((region) => journal.holds(region, mappings));
  const codeRegions = [journal.firstCode, ...regions.filter(({ kind }) => kind === RegionKind.CODE)];
  const code = codeRegions.map(({ address, size }) => ({ start: address, end: address + BigInt(size) }));
  const sites = new Sites(process, journal, code);
  let restored = sites.restore(({ isGuard }) => !isGuard);
  journal.close();
  if (isLed) return { restored, foreign: sites.foreign(), memory: 'its controller’s' };
  const letGo = (): void => {
    // Its signature has a page of its own.
    const stacks = regions.filter(({ kind }) => kind === RegionKind.RETURNS);
    for (const { address } of stacks) releaseReturns(process, address + BigInt(PAGE_SIZE));
  };
  const stay = (): TakenOff => ({ restored, foreign: sites.foreign(), memory: 'in use' });
  // While a thread is on its way back through our code, unwinders must find their guards.
  if (sites.hasGuards && !leaveTogether(process, code, letGo)) return stay();
  restored += sites.restore(() => true);
  if (sites.foreign().length > 0) return stay();
  // Last what says what all the others are.
  const mapped: readonly Region[] = [...regions, journal.whole];
  const isGone = leaveTogether(process, code, (calls) => {
    letGo();
    // Two may take off one session at the same time; now only we are here.
    if (!isStillThere(process, journal)) return;
    calls().run(mapped.map(({ address, size }) => ({ name: 'munmap', args: [address, size] })));
  });
  return isGone ? { restored, foreign: [], memory: 'released' } : stay();
}

function isStillThere(process: TargetProcess, journal: FoundJournal): boolean {
  return process.mappings().some((m) => m.start === journal.address && m.path === '/memfd:remora');
}

class Sites {
  readonly #process: TargetProcess;
  readonly #code: readonly AddressRange[];
  /** Newest first: what was laid last is taken down first. */
  readonly #sites: readonly FoundSite[];

  constructor(process: TargetProcess, journal: FoundJournal, code: readonly AddressRange[]) {
    this.#process = process;
    this.#code = code;
    this.#sites = journal.sites.filter(({ address }) => journal.isTargetCode(address)).toReversed();
  }

  get hasGuards(): boolean {
    return this.#sites.some(({ isGuard }) => isGuard);
  }

  /** Puts sites back; again, until none is left: one may have lain over another. Gives their number. */
  restore(isMeant: (site: FoundSite) => boolean): number {
    let restored = 0;
    for (;;) {
      const patches = this.#patches(isMeant);
      if (patches.length === 0) return restored;
      applyPatches(this.#process, patches);
      restored += patches.length;
    }
  }

  /** Sites that are neither as they were nor as this session made them. */
  foreign(): readonly bigint[] {
    return this.#sites
      .filter((site) => {
        const found = this.#read(site);
        return found !== undefined && !isSame(found, site.original);
      })
      .map(({ address }) => address);
  }

  #patches(isMeant: (site: FoundSite) => boolean): Patch[] {
    const patches: Patch[] = [];
    const taken = new Set<bigint>();
    for (const site of this.#sites) {
      const found = this.#read(site);
      if (!isMeant(site) || found === undefined || isSame(found, site.original) || !this.#isOurs(site, found)) continue;
      const bytes = Array.from(found, (_, n) => site.address + BigInt(n));
      if (bytes.some((byte) => taken.has(byte))) continue;
      for (const byte of bytes) taken.add(byte);
      patches.push({ address: site.address, expected: found, replacement: site.original, moves: new Map() });
    }
    return patches;
  }

  /** As noted; or, in a child forked before a change that only its parent got, a jump to this session's code. */
  #isOurs({ address, original, ours }: FoundSite, found: Uint8Array): boolean {
    if (ours.some((bytes) => isSame(bytes, found))) return true;
    if (
      found.length < JUMP_SIZE ||
      found[0] !== JUMP ||
      !isSame(found.subarray(JUMP_SIZE), original.subarray(JUMP_SIZE))
    )
      return false;
    const distance = new DataView(found.buffer, found.byteOffset).getInt32(1, true);
    return isInside(this.#code, address + BigInt(JUMP_SIZE + distance));
  }

  /** undefined where nothing is mapped any more. */
  #read({ address, original }: FoundSite): Uint8Array | undefined {
    const found = this.#process.memory.readUpTo(address, original.length);
    return found.length === original.length ? found : undefined;
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}
