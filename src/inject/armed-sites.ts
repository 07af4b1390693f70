/**
 * The books of a session's sites: whose bytes are not the original ones, and changing them, whoever else has come to one of the
 * places or gone meanwhile. What is about to change is in the journal first.
 */
import { nearJumpTarget } from '../arch/x64/near-jump.ts';
import { type AddressRange, isInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { Chain, type SeenSite } from './chain.ts';
import { InjectError } from './errors.ts';
import type { Journal } from './journal.ts';
import { applyPatches, isRemains, LONGEST_PATCH, type Patch } from './patch.ts';
import { areSame, isUndo, type SitePatch } from './site-patch.ts';
import { unloadedSites } from './unloaded.ts';

/** How often it is tried to put places back that others change meanwhile. */
const UNDO_ATTEMPTS = 4;

/** What other sessions, and the next controller, know a session by. */
interface Known {
  readonly journal: Journal;
  /** Where that lies in the target. */
  readonly address: bigint;
}

export class ArmedSites {
  readonly #process: TargetProcess;
  readonly #armed = new Map<bigint, SitePatch>();
  readonly #unloadListeners: ((gone: ReadonlySet<bigint>) => void)[] = [];
  #known: Known | undefined;
  #lastPauseUs = 0;

  constructor(process: TargetProcess) {
    this.#process = process;
  }

  /** From now on changes are written down in a journal. */
  open(journal: Journal, address: bigint): void {
    this.#known = { journal, address };
  }

  /** Forgets all there is. */
  close(): void {
    this.#known = undefined;
    this.#armed.clear();
  }

  /** How long the target stood still at a time for the last change and what that needed, in microseconds. */
  get lastPauseUs(): number {
    return this.#lastPauseUs;
  }

  get isEmpty(): boolean {
    return this.#armed.size === 0;
  }

  /** True if there are sites that keep threads safe which are still on their way through others. */
  get hasGuards(): boolean {
    return [...this.#armed.values()].some(({ isGuard }) => isGuard);
  }

  /** True once somebody else has taken off what we put there. */
  get isClosed(): boolean {
    return this.#known?.journal.isClosed ?? false;
  }

  /** @throws {InjectError} INJECT_CLOSED */
  requireOpen(): void {
    if (!this.isClosed) return;
    throw new InjectError('INJECT_CLOSED', `cannot probe process ${this.#process.pid}: this session was taken off`, {
      why: 'another remora has detached it',
      fix: 'open the object once more',
    });
  }

  /** All sessions of the process, if there are others than this one. */
  findChain(): Chain | undefined {
    if (this.#known === undefined || this.#process.isGone()) return undefined;
    // Others unmap what is read here, under the lock too.
    using _lock = this.#process.lock();
    return Chain.of(this.#process, this.#known.address);
  }

  /** Where threads are to go on behind a trampoline that is laid for a site, if another session is there. */
  behind(site: SeenSite, chain: Chain | undefined): bigint | undefined {
    return chain?.belowSite(site, this.#wantedAt(site.address));
  }

  /** True if threads may still come to code of ours by way of another session's. */
  isLedTo(ranges: readonly AddressRange[]): boolean {
    const chain = this.findChain();
    return chain !== undefined && (chain.isObscure || chain.leadingTo((at) => isInside(ranges, at)).length > 0);
  }

  /**
   * Strikes sites off whose library was unloaded: nothing of them is left to be put back.
   *
   * @returns their addresses
   */
  forgetUnloaded(): readonly bigint[] {
    if (this.isClosed || this.#process.isGone()) return [];
    const gone = unloadedSites(this.#process, this.#armed.values());
    if (gone.length === 0) return [];
    for (const { address, original } of gone) {
      this.#armed.delete(address);
      this.#known?.journal.noteUnloaded(address, original.length);
    }
    const addresses = new Set(gone.map(({ address }) => address));
    for (const listener of this.#unloadListeners) listener(addresses);
    return [...addresses];
  }

  /** Has `listener` told where sites were that are gone with their library, behind those that came earlier. */
  onUnloaded(listener: (gone: ReadonlySet<bigint>) => void): void {
    this.#unloadListeners.push(listener);
  }

  /** Puts sites back that are as we left them. */
  undo(isMeant: (site: SitePatch) => boolean): void {
    this.forgetUnloaded();
    const chain = this.findChain();
    const sites = [...this.#armed.values()].filter((site) => isMeant(site) && this.#isAsWeLeftIt(site, chain));
    this.apply(sites.map((site) => ({ ...site, wanted: site.original, moves: new Map() })));
  }

  /**
   * Makes changes, all or none, in one stop.
   *
   * @throws {InjectError} INJECT_CLOSED, INJECT_SITE_CHANGED, INJECT_SITE_UNLOADED, INJECT_SITE_BUSY, INJECT_WRITE_FAILED
   */
  apply(patches: readonly SitePatch[], attempt = 1): void {
    using _lock = this.#process.isGone() ? undefined : this.#process.lock();
    if (this.isClosed) this.#leaveClosed(patches);
    // What goes makes room for what comes.
    const [undone, made]: [SitePatch[], SitePatch[]] = [[], []];
    for (const patch of patches) (isUndo(patch) ? undone : made).push(patch);
    const chain = patches.length === 0 ? undefined : this.findChain();
    const changes = [...undone, ...made]
      .flatMap((patch) => this.#toPatches(patch, chain))
      .filter(({ expected, replacement }) => !areSame(expected, replacement));
    const noteDone = this.#known?.journal.willPatch(made);
    try {
      const { pauseUs } = applyPatches(this.#process, changes);
      if (changes.length > 0) this.#lastPauseUs = Math.max(pauseUs, this.#process.takeLongestPause());
      noteDone?.();
    } catch (error) {
      // What was unloaded in the meantime needs nothing undone.
      if (this.forgetUnloaded().length > 0) {
        this.apply(patches);
        return;
      }
      // A target that is gone needs nothing undone, nor does what somebody else has just put back.
      if (!patches.every((patch) => isUndo(patch) && (this.#process.isGone() || this.#isOff(patch, chain)))) {
        // Another controller has come to one of the places, or gone, since we looked.
        const isOutdated = error instanceof InjectError && error.code === 'INJECT_SITE_CHANGED';
        if (!isOutdated || attempt === UNDO_ATTEMPTS || !patches.every(isUndo)) throw error;
        this.apply(patches, attempt + 1);
        return;
      }
    }
    for (const { address } of undone) this.#armed.delete(address);
    for (const patch of made) this.#armed.set(patch.address, patch);
  }

  /** What was taken off by somebody else is no longer ours to put back. @throws {InjectError} INJECT_CLOSED */
  #leaveClosed(patches: readonly SitePatch[]): void {
    const chain = this.findChain();
    for (const site of [...this.#armed.values()]) {
      if (!this.#process.isGone() && this.#isOff(site, chain)) this.#armed.delete(site.address);
    }
    if (!patches.every(isUndo)) this.requireOpen();
  }

  #wantedAt(address: bigint): Uint8Array | undefined {
    return this.#armed.get(address)?.wanted;
  }

  /** True if nothing leads to us from there any more. */
  #isOff(site: SitePatch, chain: Chain | undefined): boolean {
    const { address, original } = site;
    const found = this.#process.memory.read(address, original.length);
    if (areSame(found, original)) return true;
    return chain?.isOthers(site, found) === true && !this.#isLedOnTo(site, chain);
  }

  #isAsWeLeftIt(site: SitePatch, chain: Chain | undefined): boolean {
    if (this.#process.isGone()) return true;
    const { address, original, wanted } = site;
    const found = this.#process.memory.read(address, wanted.length);
    // A short jump is that of other sessions too.
    if (areSame(found, wanted)) return true;
    if (chain?.isOthers(site, found) === true) return this.#isLedOnTo(site, chain);
    return isRemains(found, wanted, original);
  }

  /** True if another session's trampoline leads to what we have at a site. */
  #isLedOnTo({ address }: SitePatch, chain: Chain): boolean {
    const wanted = this.#wantedAt(address);
    const trampoline = wanted === undefined ? undefined : nearJumpTarget(address, wanted);
    return trampoline !== undefined && chain.leadingTo((target) => target === trampoline).length > 0;
  }

  #toPatches(patch: SitePatch, chain: Chain | undefined): readonly Patch[] {
    const relinking = chain?.relink(patch, this.#wantedAt(patch.address));
    if (relinking === undefined) return [this.#toPatch(patch)];
    if (relinking.note !== undefined) this.#known?.journal.willLeadOn(relinking.note);
    return relinking.patches;
  }

  #toPatch({ address, original, wanted, moves, leaving = new Map(), origin }: SitePatch): Patch {
    const expected = this.#asPatched(address, original);
    return { address, expected, replacement: wanted, moves, leaving, isUndo: isUndo({ original, wanted }), origin };
  }

  /** The original bytes of a place with the patches over them that are there now. */
  #asPatched(address: bigint, original: Uint8Array): Uint8Array {
    const own = this.#wantedAt(address) ?? (this.isEmpty ? original : undefined);
    if (own !== undefined && own.length >= original.length) return own.subarray(0, original.length);
    const bytes = Uint8Array.from(original);
    for (let distance = 1 - LONGEST_PATCH; distance < bytes.length; distance++) {
      const wanted = this.#wantedAt(address + BigInt(distance));
      if (wanted === undefined || distance + wanted.length <= 0) continue;
      const visible = wanted.subarray(Math.max(0, -distance), bytes.length - distance);
      bytes.set(visible, Math.max(0, distance));
    }
    return bytes;
  }
}
