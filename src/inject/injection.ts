/**
 * What we have in one target: code within reach of what it probes, memory shared with us, and the sites that lead there.
 * Everything is synchronous, since threads are stopped meanwhile. Disposing of it takes all out again.
 */
import { nearJumpTarget } from '../arch/x64/near-jump.ts';
import { alignUp } from '../bytes/align.ts';
import { isProcessError } from '../process/errors.ts';
import { isInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import type { SampleThread } from '../process/thread-pointer.ts';
import { wakeWord } from '../sys/futex.ts';
import { readPidNamespace, readStartTime } from '../sys/proc.ts';
import { HOLDER_DIED, ROBUST_WORD_FROM_END, RobustWord } from '../sys/robust-word.ts';
import type { FilePart, SharedMapping, SharedPart } from '../sys/shared-mapping.ts';
import { Chain } from './chain.ts';
import { Claims } from './claims.ts';
import { CODE_REGION_SIZE, CodeRegions, type Emitted } from './code-regions.ts';
import { InjectError } from './errors.ts';
import { PAGE_SIZE } from './gaps.ts';
import {
  JOURNAL_SIZE,
  Journal,
  type JournalOrigin,
  JournalState,
  RegionKind,
  type RegionKindNumber,
  TRAILER_SIZE,
} from './journal.ts';
import { leaveTogether } from './leaving.ts';
import { Meeting } from './meeting.ts';
import { applyPatches, isRemains, LONGEST_PATCH, type Patch } from './patch.ts';
import {
  mapInherited,
  mapSession,
  type NoteRegion,
  type Region,
  type SessionMemory,
  type SessionPlan,
  unmap,
} from './regions.ts';
import { areSame, isUndo, type SitePatch } from './site-patch.ts';
import { unloadedSites } from './unloaded.ts';

/** How often it is tried to put places back that others change meanwhile. */
const UNDO_ATTEMPTS = 4;

/** Addresses in the target. */
export interface PrivateCells {
  readonly processNumber: bigint;
  readonly pid: bigint;
  /** Of the place where threads wait that load a library: whether they are to, and what the loader did last. */
  readonly gateOpen: bigint;
  readonly gateState: bigint;
}

/** What programs do once their controller has died: until the hooks are taken off they stay, and cost some instructions. */
export type Inheritance = 'go quiet' | 'run on';

/** Changes that are made together. */
interface Batch {
  /** By address. */
  readonly patches: Map<bigint, SitePatch>;
  readonly undos: (() => void)[];
  readonly lastSteps: Set<() => void>;
  /** The sessions beside this one, asked for at most once. */
  chain?: Chain | undefined;
}

export class Injection implements Disposable {
  readonly process: TargetProcess;
  /** Which bytes of the target's code are displaced, and by whom. */
  readonly claims = new Claims();
  readonly #code: CodeRegions;
  readonly #inherited: Region[] = [];
  /** Undo what would bring threads back to our code that are elsewhere. */
  readonly #letGo: (() => void)[] = [];
  readonly #unloadListeners: ((gone: ReadonlySet<bigint>) => void)[] = [];
  readonly #whenWeDie: Inheritance;
  #session: SessionMemory | undefined;
  #meeting: Meeting | undefined;
  #journal: Journal | undefined;
  #lease: RobustWord | undefined;
  /** Sites whose bytes are not the original ones. */
  readonly #sites = new Map<bigint, SitePatch>();
  #batch: Batch | undefined;
  #lastPauseUs = 0;

  /** @param process stays the caller's to dispose of, after this */
  constructor(process: TargetProcess, whenWeDie: Inheritance = 'go quiet') {
    this.process = process;
    this.#whenWeDie = whenWeDie;
    this.#code = new CodeRegions(process, {
      note: this.#noteOf(RegionKind.CODE),
      sign: (region) => this.#sign(region),
    });
    process.removeStaleStubs();
  }

  get whenWeDie(): Inheritance {
    return this.#whenWeDie;
  }

  /** How long the target stood still at a time for the last change of its code and what that needed, in microseconds. */
  get lastPauseUs(): number {
    return this.#lastPauseUs;
  }

  /**
   * Makes the memory that the target shares with us, once, and room for code beside it. Its size is final.
   *
   * @returns where it lies in the target, and one of the target's threads as an example
   * @param common whole pages of it that are to be had on their own, for other targets to join; or what was had of another one,
   *   and lies at the same place here
   * @throws {InjectError | ProcessError | SysError} nothing is left in the target then
   */
  share(size: number, common?: FilePart | SharedPart): { readonly address: bigint; readonly thread: SampleThread } {
    if (this.#session !== undefined) throw new TypeError('the memory of an injection can be made only once');
    const sharedSize = alignUp(JOURNAL_SIZE + size + TRAILER_SIZE, PAGE_SIZE);
    let journal: Journal | undefined;
    const begin = ({ buffer }: SharedMapping, whole: Region): void => {
      journal = new Journal(new Uint8Array(buffer), this.#origin(whole, sharedSize, size));
    };
    this.#session = mapSession(this.process, this.#center(), {
      codeSize: CODE_REGION_SIZE,
      sharedSize,
      ...commonOf(common),
      begin,
    });
    this.#journal = journal;
    const { codeRegion, sharedRegion, thread, mapping } = this.#session;
    if (this.#whenWeDie === 'go quiet') this.#lease = new RobustWord(mapping);
    this.#code.add(codeRegion);
    return { address: sharedRegion.address + BigInt(JOURNAL_SIZE), thread };
  }

  /** The memory shared with the target, as we see it. */
  get shared(): Uint8Array {
    return new Uint8Array(this.#requireSession().mapping.buffer, JOURNAL_SIZE);
  }

  /** The part of that memory which was to be had on its own: the caller's to dispose of. */
  takeCommon(): SharedPart {
    return this.#requireSession().mapping.takePart();
  }

  /** Wakes threads of the target, or of its children, that wait for a word of it to change; in bytes from its beginning. */
  wake(offset: number): void {
    const { buffer, end } = this.#requireSession().mapping;
    wakeWord(end - buffer.byteLength + JOURNAL_SIZE + offset);
  }

  /** The session's name, as its journal has it. */
  get id(): string {
    if (this.#journal === undefined) throw new TypeError('the memory of an injection is not made yet, or was released');
    return this.#journal.id;
  }

  /** The file that it is, and where that lies in the target: /proc/PID/maps tells which processes have it. */
  get memoryFile(): { readonly inode: bigint; readonly address: bigint } {
    const { mapping, whole } = this.#requireSession();
    return { inode: mapping.inode, address: whole.address };
  }

  /** Address of a u32 of which HOLDER_DIED is set once this controller has died, unless programs are to run on. */
  get leaseCell(): bigint {
    const { address, size } = this.#requireSession().sharedRegion;
    return address + BigInt(size - ROBUST_WORD_FROM_END);
  }

  /** What a lease of at least this says. */
  readonly holderDied = HOLDER_DIED;

  /** True once somebody else has taken off what we put there. */
  get isClosed(): boolean {
    return this.#journal?.isClosed ?? false;
  }

  /** Addresses of u64 cells that begin at zero, and at zero again in a child the target forks. */
  get privateCells(): PrivateCells {
    const { address } = this.#requireSession().privateRegion;
    return { processNumber: address, pid: address + 8n, gateOpen: address + 16n, gateState: address + 24n };
  }

  /** Where threads of the target wait for us. */
  get meeting(): Meeting {
    const { mapping, sharedRegion } = this.#requireSession();
    this.#meeting ??= new Meeting(mapping, sharedRegion);
    return this.#meeting;
  }

  /** True once it has left the target, or before it has come. */
  get isAway(): boolean {
    return this.#session === undefined;
  }

  /** A thread of the target as the session found it. */
  get sampleThread(): SampleThread {
    return this.#requireSession().thread;
  }

  /**
   * Maps zeroed memory that only the target sees; each child it forks gets a copy.
   *
   * @param letGo called before it is unmapped, with all threads stopped and none in our code: undoes what would bring one back
   * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
   */
  mapInherited(size: number, letGo: () => void): bigint {
    const note = this.#noteOf(RegionKind.RETURNS);
    const region = mapInherited(this.process, this.#center(), PAGE_SIZE + size, note);
    this.#inherited.push(region);
    this.#sign(region);
    this.#letGo.push(letGo);
    return region.address + BigInt(PAGE_SIZE);
  }

  /**
   * Lays code where `near` reaches it. No thread runs it before a site leads there.
   *
   * @param emit makes the code for the address it will have; may be asked again for another address
   * @throws {InjectError} INJECT_CLOSED, INJECT_NO_GAP, INJECT_CODE_TOO_LARGE, INJECT_BAD_ANSWER
   */
  layCode<T>(near: bigint, emit: (address: bigint) => Emitted<T>): { readonly origin: bigint; readonly result: T } {
    if (this.isClosed) throw this.#closed();
    return this.#code.lay(near, emit, this.#batch === undefined ? 'now' : 'staged');
  }

  /**
   * Changes the bytes of a site; inside `batch` when that ends.
   *
   * @throws {InjectError} INJECT_SITE_CHANGED, INJECT_SITE_BUSY, INJECT_WRITE_FAILED; nothing is changed then
   */
  patch(patch: SitePatch): void {
    if (this.#batch === undefined) this.#apply([patch]);
    else this.#batch.patches.set(patch.address, patch);
  }

  /** Runs `body` and then makes all its patches in one stop: all, or none if it throws or one of them cannot be made. */
  batch<T>(body: () => T): T {
    if (this.#batch !== undefined) return body();
    const batch: Batch = { patches: new Map(), undos: [], lastSteps: new Set() };
    this.#batch = batch;
    try {
      const result = this.#inBatch(() => {
        const made = body();
        for (const step of batch.lastSteps) step();
        return made;
      });
      this.#apply([...batch.patches.values()]);
      return result;
    } catch (error) {
      for (const undo of batch.undos.reverse()) undo();
      throw error;
    }
  }

  /**
   * Where threads go on from a site behind a trampoline that is laid for it now: to the trampoline of another session that is
   * there. `undefined` if there is none, and it runs the displaced instructions itself.
   *
   * @throws {InjectError} INJECT_CLOSED
   */
  behindSite(site: Pick<SitePatch, 'address' | 'original'>): bigint | undefined {
    if (this.isClosed) throw this.#closed();
    return this.#knownChain()?.belowSite(site, this.#sites.get(site.address)?.wanted);
  }

  /** True if what was found at a site is the jump of another session, which can be led on to. */
  isOthers(site: Pick<SitePatch, 'address' | 'original'>, found: Uint8Array): boolean {
    return this.#knownChain()?.isOthers(site, found) ?? false;
  }

  /**
   * Strikes sites off whose library was unloaded: nothing of them is left to be put back.
   *
   * @returns their addresses
   */
  forgetUnloaded(): readonly bigint[] {
    if (this.isClosed || this.process.isGone()) return [];
    const gone = unloadedSites(this.process, this.#sites.values());
    if (gone.length === 0) return [];
    for (const { address, original } of gone) {
      this.#sites.delete(address);
      this.#journal?.noteUnloaded(address, original.length);
    }
    const addresses = new Set(gone.map(({ address }) => address));
    for (const listener of this.#unloadListeners) listener(addresses);
    return [...addresses];
  }

  /** Has `listener` told where sites were that are gone with their library, behind those that came earlier. */
  onUnloaded(listener: (gone: ReadonlySet<bigint>) => void): void {
    this.#unloadListeners.push(listener);
  }

  /** Has `step` done once, when everything else of the batch is; at once outside of one. If it throws, the batch does. */
  atEndOfBatch(step: () => void): void {
    if (this.#batch === undefined) step();
    else this.#batch.lastSteps.add(step);
  }

  /** Has `undo` called, before those that came earlier, if the batch fails: what is known of sites is then as it was. */
  onFailure(undo: () => void): void {
    this.#batch?.undos.push(undo);
  }

  #inBatch<T>(body: () => T): T {
    try {
      return body();
    } finally {
      this.#batch = undefined;
      // Even if it threw: what was made may be used later.
      this.#code.writeStaged();
    }
  }

  /**
   * Puts every site back and unmaps all that is ours. Does nothing for a target that is gone.
   *
   * @returns false if memory had to stay in the target, because a thread does not leave it, because a site was changed by
   *   someone else and may still lead there, or because the target cannot be made to unmap it any more
   */
  release(): boolean {
    using _lock = this.process.isGone() ? undefined : this.process.lock();
    const isGuarded = [...this.#sites.values()].some(({ isGuard }) => isGuard);
    this.#undo((site) => !site.isGuard);
    const isSafe = !isGuarded || this.process.isGone() || this.#isLeft();
    if (isSafe) this.#undo(() => true);
    const isUnused = this.process.isGone() || (this.#sites.size === 0 && !this.#isLedTo() && this.#isLeft());
    const isUnmapped = isUnused && this.#unmapAll();
    if (!isUnmapped) this.#journal?.close();
    this.#lease?.[Symbol.dispose]();
    this.#lease = undefined;
    this.#session?.mapping[Symbol.dispose]();
    this.#session = undefined;
    this.#meeting = undefined;
    this.#journal = undefined;
    this.#sites.clear();
    this.#code.forget();
    this.#inherited.length = 0;
    this.#letGo.length = 0;
    return isUnmapped;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  #undo(isMeant: (site: SitePatch) => boolean): void {
    this.forgetUnloaded();
    const chain = this.#findChain();
    const sites = [...this.#sites.values()].filter((site) => isMeant(site) && this.#isAsWeLeftIt(site, chain));
    this.#apply(sites.map((site) => ({ ...site, wanted: site.original, moves: new Map() })));
  }

  #apply(patches: readonly SitePatch[], attempt = 1): void {
    using _lock = this.process.isGone() ? undefined : this.process.lock();
    if (this.isClosed) this.#leaveClosed(patches);
    // What goes makes room for what comes.
    const [undone, made]: [SitePatch[], SitePatch[]] = [[], []];
    for (const patch of patches) (isUndo(patch) ? undone : made).push(patch);
    const chain = patches.length === 0 ? undefined : this.#findChain();
    const changes = [...undone, ...made]
      .flatMap((patch) => this.#toPatches(patch, chain))
      .filter(({ expected, replacement }) => !areSame(expected, replacement));
    const noteDone = this.#journal?.willPatch(made);
    try {
      const { pauseUs } = applyPatches(this.process, changes);
      if (changes.length > 0) this.#lastPauseUs = Math.max(pauseUs, this.process.takeLongestPause());
      noteDone?.();
    } catch (error) {
      // What was unloaded in the meantime needs nothing undone.
      if (this.forgetUnloaded().length > 0) {
        this.#apply(patches);
        return;
      }
      // A target that is gone needs nothing undone, nor does what somebody else has just put back.
      if (!patches.every((patch) => isUndo(patch) && (this.process.isGone() || this.#isOff(patch, chain)))) {
        // Another controller has come to one of the places, or gone, since we looked.
        const isOutdated = error instanceof InjectError && error.code === 'INJECT_SITE_CHANGED';
        if (!isOutdated || attempt === UNDO_ATTEMPTS || !patches.every(isUndo)) throw error;
        this.#apply(patches, attempt + 1);
        return;
      }
    }
    for (const { address } of undone) this.#sites.delete(address);
    for (const patch of made) this.#sites.set(patch.address, patch);
  }

  /** True if nothing leads to us from there any more. */
  #isOff(site: SitePatch, chain: Chain | undefined): boolean {
    const { address, original } = site;
    const found = this.process.memory.read(address, original.length);
    if (Buffer.compare(found, original) === 0) return true;
    return chain?.isOthers(site, found) === true && !this.#isLedOnTo(site, chain);
  }

  #isAsWeLeftIt(site: SitePatch, chain: Chain | undefined): boolean {
    if (this.process.isGone()) return true;
    const { address, original } = site;
    const bytes = this.#sites.get(address)?.wanted ?? original;
    const found = this.process.memory.read(address, bytes.length);
    if (chain?.isOthers(site, found) === true) return this.#isLedOnTo(site, chain);
    return isRemains(found, bytes, original);
  }

  /** True if another session's trampoline leads to what we have at a site. */
  #isLedOnTo({ address }: SitePatch, chain: Chain): boolean {
    const wanted = this.#sites.get(address)?.wanted;
    const trampoline = wanted === undefined ? undefined : nearJumpTarget(address, wanted);
    return trampoline !== undefined && chain.leadingTo((target) => target === trampoline).length > 0;
  }

  /** True if threads may still come to our code by way of another session's. */
  #isLedTo(): boolean {
    const chain = this.#findChain();
    const { ranges } = this.#code;
    return chain !== undefined && (chain.isObscure || chain.leadingTo((at) => isInside(ranges, at)).length > 0);
  }

  #findChain(): Chain | undefined {
    if (this.#session === undefined || this.process.isGone()) return undefined;
    return Chain.of(this.process, this.#session.whole.address);
  }

  /** What was found when the batch began to ask: where it is wrong by now, the batch fails. */
  #knownChain(): Chain | undefined {
    const batch = this.#batch;
    if (batch === undefined) return this.#findChain();
    if (!('chain' in batch)) batch.chain = this.#findChain();
    return batch.chain;
  }

  #toPatches(patch: SitePatch, chain: Chain | undefined): readonly Patch[] {
    const relinking = chain?.relink(patch, this.#sites.get(patch.address)?.wanted);
    if (relinking === undefined) return [this.#toPatch(patch)];
    if (relinking.note !== undefined) this.#journal?.willLeadOn(relinking.note);
    return relinking.patches;
  }

  #toPatch({ address, original, wanted, moves, leaving = new Map(), origin }: SitePatch): Patch {
    const expected = this.#asPatched(address, original);
    return { address, expected, replacement: wanted, moves, leaving, isUndo: isUndo({ original, wanted }), origin };
  }

  /** The original bytes of a place with the patches over them that are there now. */
  #asPatched(address: bigint, original: Uint8Array): Uint8Array {
    const own = this.#sites.get(address)?.wanted ?? (this.#sites.size === 0 ? original : undefined);
    if (own !== undefined && own.length >= original.length) return own.subarray(0, original.length);
    const bytes = Uint8Array.from(original);
    for (let distance = 1 - LONGEST_PATCH; distance < bytes.length; distance++) {
      const wanted = this.#sites.get(address + BigInt(distance))?.wanted;
      if (wanted === undefined || distance + wanted.length <= 0) continue;
      const visible = wanted.subarray(Math.max(0, -distance), bytes.length - distance);
      bytes.set(visible, Math.max(0, distance));
    }
    return bytes;
  }

  #isLeft(): boolean {
    if (this.#code.isEmpty) return true;
    return leaveTogether(this.process, this.#code.ranges, () => {
      for (const letGo of this.#letGo) letGo();
    });
  }

  /** What was taken off by somebody else is no longer ours to put back. @throws {InjectError} INJECT_CLOSED */
  #leaveClosed(patches: readonly SitePatch[]): void {
    const chain = this.#findChain();
    for (const site of [...this.#sites.values()]) {
      if (!this.process.isGone() && this.#isOff(site, chain)) this.#sites.delete(site.address);
    }
    if (!patches.every(isUndo)) throw this.#closed();
  }

  #closed(): InjectError {
    return new InjectError('INJECT_CLOSED', `cannot probe process ${this.process.pid}: this session was taken off`, {
      why: 'another remora has detached it',
      fix: 'open the object once more',
    });
  }

  /** False if the target may make no system calls for us any more: it has confined itself, or is frozen. */
  #unmapAll(): boolean {
    const [first, ...codeRegions] = this.#code.all;
    // Last what says what all the others are.
    const regions = [...this.#inherited, ...codeRegions, this.#session?.whole ?? first];
    const mapped = regions.filter((region) => region !== undefined);
    if (mapped.length === 0 || !this.#isMapped()) return true;
    try {
      unmap(this.process, mapped);
      return true;
    } catch (error) {
      if (!isProcessError(error, 'PROCESS_SECCOMP', 'PROCESS_FROZEN', 'PROCESS_CALL_FAILED')) throw error;
      return false;
    }
  }

  /** False if the target is gone, or somebody else has unmapped what was taken off: other things may lie there now. */
  #isMapped(): boolean {
    if (this.process.isGone()) return false;
    const session = this.#session;
    if (session === undefined || !this.isClosed) return true;
    return this.process
      .mappings()
      .some(({ start, inode }) => start === session.whole.address && inode === session.mapping.inode);
  }

  #noteOf(kind: RegionKindNumber): NoteRegion {
    return ({ address, size }) => this.#journal?.willMap(address, size, kind) ?? (() => {});
  }

  /** So that whoever finds the region knows that it is still ours. */
  #sign({ address }: Region): void {
    if (this.#journal !== undefined) this.process.memory.write(address, this.#journal.signature);
  }

  #origin(whole: Region, sharedSize: number, clientSize: number): JournalOrigin {
    return {
      controllerPid: process.pid,
      controllerNamespace: readPidNamespace(process.pid),
      controllerStart: readStartTime(process.pid),
      time: BigInt(Date.now()),
      address: whole.address,
      sharedSize: BigInt(sharedSize),
      wholeSize: BigInt(whole.size),
      clientSize,
      state: this.#whenWeDie === 'run on' ? JournalState.PINNED : JournalState.OPEN,
    };
  }

  /** Shared memory lies where most libraries do, so that most code reaches it. */
  #center(): bigint {
    const modules = this.process.modules().filter(({ path }) => path !== '[vdso]');
    return modules[Math.floor(modules.length / 2)]?.start ?? 0n;
  }

  #requireSession(): SessionMemory {
    if (this.#session === undefined) throw new TypeError('the memory of an injection is not made yet, or was released');
    return this.#session;
  }
}

function commonOf(common: FilePart | SharedPart | undefined): Pick<SessionPlan, 'common' | 'joined'> {
  if (common === undefined) return { common, joined: undefined };
  if ('file' in common) return { common: undefined, joined: { part: common, scratch: JOURNAL_SIZE } };
  return { common: { offset: JOURNAL_SIZE + common.offset, size: common.size }, joined: undefined };
}
