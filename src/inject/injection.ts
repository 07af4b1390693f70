/**
 * What we have in one target: code within reach of what it probes, memory shared with us, and the sites that lead there.
 * Everything is synchronous, since threads are stopped meanwhile. Disposing of it takes all out again.
 */
import { alignUp } from '../bytes/align.ts';
import { isProcessError } from '../process/errors.ts';
import type { AddressRange } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import type { SampleThread } from '../process/thread-pointer.ts';
import { wakeWord } from '../sys/futex.ts';
import { readPidNamespace, readStartTime } from '../sys/proc.ts';
import { HOLDER_DIED, ROBUST_WORD_FROM_END, RobustWord } from '../sys/robust-word.ts';
import type { FilePart, SharedPart } from '../sys/shared-mapping.ts';
import { ArmedSites } from './armed-sites.ts';
import type { Chain, SeenSite } from './chain.ts';
import { Claims } from './claims.ts';
import { CODE_REGION_SIZE, CodeRegions, type Emitted } from './code-regions.ts';
import { otherSharers, withoutShared } from './common-region.ts';
import { PAGE_SIZE } from './gaps.ts';
import {
  JOURNAL_SIZE,
  Journal,
  type JournalOrigin,
  JournalState,
  newJournal,
  RegionKind,
  type RegionKindNumber,
  TRAILER_SIZE,
} from './journal.ts';
import { awaitOthers, leaveTogether } from './leaving.ts';
import { Meeting } from './meeting.ts';
import {
  mapInherited,
  mapSession,
  type NoteRegion,
  type Region,
  type SessionMemory,
  type SessionPlan,
  unmap,
} from './regions.ts';
import type { SitePatch } from './site-patch.ts';

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

/**
 * Takes out of common memory what leads to code that is to go.
 *
 * @param stackPointers of threads that are at work in code of other sessions
 * @returns false if one of them stands in the way; nothing is changed then
 */
type LetGo = (code: readonly AddressRange[], stackPointers: readonly bigint[]) => boolean;

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
  readonly #sites: ArmedSites;
  readonly #code: CodeRegions;
  readonly #inherited: Region[] = [];
  /** Undo what would bring threads back to our code that are elsewhere. */
  readonly #letGo: LetGo[] = [];
  readonly #whenWeDie: Inheritance;
  #session: SessionMemory | undefined;
  #meeting: Meeting | undefined;
  #journal: Journal | undefined;
  #lease: RobustWord | undefined;
  #batch: Batch | undefined;

  /** @param process stays the caller's to dispose of, after this */
  constructor(process: TargetProcess, whenWeDie: Inheritance = 'go quiet') {
    this.process = process;
    this.#whenWeDie = whenWeDie;
    this.#sites = new ArmedSites(process);
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
    return this.#sites.lastPauseUs;
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
    this.#session = mapSession(this.process, this.#center(), {
      codeSize: CODE_REGION_SIZE,
      sharedSize,
      ...commonOf(common),
      head: (whole) => newJournal(this.#origin(whole, sharedSize, size)),
    });
    const { whole, codeRegion, sharedRegion, thread, mapping } = this.#session;
    this.#journal = new Journal(new Uint8Array(mapping.buffer));
    this.#sites.open(this.#journal, whole.address);
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
    return this.#sites.isClosed;
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
   * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
   */
  mapInherited(size: number, kind: RegionKindNumber = RegionKind.HOOKS): bigint {
    const region = mapInherited(this.process, this.#center(), PAGE_SIZE + size, this.#noteOf(kind));
    this.#inherited.push(region);
    this.#sign(region);
    return region.address + BigInt(PAGE_SIZE);
  }

  /**
   * As `mapInherited`: memory that all sessions of the process have together. It is there already if another one came first.
   *
   * @param letGo called before we go, with all threads stopped and none in our code
   * @throws {InjectError} INJECT_NO_GAP, INJECT_BAD_ANSWER
   */
  shareInherited(size: number, letGo: LetGo): bigint {
    using _lock = this.process.lock();
    const known = this.#sharers().find(({ region, isSigned }) => isSigned && region.size === PAGE_SIZE + size)?.region;
    let address: bigint;
    if (known === undefined) address = this.mapInherited(size, RegionKind.RETURNS);
    else {
      this.#journal?.willMap(known.address, known.size, RegionKind.RETURNS, known.signature);
      this.#inherited.push(known);
      address = known.address + BigInt(PAGE_SIZE);
    }
    this.#letGo.push(letGo);
    return address;
  }

  /**
   * Lays code where `near` reaches it. No thread runs it before a site leads there.
   *
   * @param emit makes the code for the address it will have; may be asked again for another address
   * @throws {InjectError} INJECT_CLOSED, INJECT_NO_GAP, INJECT_CODE_TOO_LARGE, INJECT_BAD_ANSWER
   */
  layCode<T>(near: bigint, emit: (address: bigint) => Emitted<T>): { readonly origin: bigint; readonly result: T } {
    this.#sites.requireOpen();
    return this.#code.lay(near, emit, this.#batch === undefined ? 'now' : 'staged');
  }

  /**
   * Changes the bytes of a site; inside `batch` when that ends.
   *
   * @throws {InjectError} INJECT_SITE_CHANGED, INJECT_SITE_BUSY, INJECT_WRITE_FAILED; nothing is changed then
   */
  patch(patch: SitePatch): void {
    if (this.#batch === undefined) this.#sites.apply([patch]);
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
      this.#sites.apply([...batch.patches.values()]);
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
  behindSite(site: SeenSite): bigint | undefined {
    this.#sites.requireOpen();
    return this.#sites.behind(site, this.#knownChain());
  }

  /** True if what was found at a site is the jump of another session, which can be led on to. */
  isOthers(site: SeenSite, found: Uint8Array): boolean {
    return this.#knownChain()?.isOthers(site, found) ?? false;
  }

  /**
   * Strikes sites off whose library was unloaded: nothing of them is left to be put back.
   *
   * @returns their addresses
   */
  forgetUnloaded(): readonly bigint[] {
    return this.#sites.forgetUnloaded();
  }

  /** Has `listener` told where sites were that are gone with their library, behind those that came earlier. */
  onUnloaded(listener: (gone: ReadonlySet<bigint>) => void): void {
    this.#sites.onUnloaded(listener);
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

  /** Waits until no program runs any more that runs now. @returns false if one does not end */
  awaitPrograms(): boolean {
    if (this.isAway || this.process.isGone() || this.#code.isEmpty) return true;
    using _lock = this.process.lock();
    return awaitOthers(this.process, this.#code.ranges);
  }

  /**
   * Puts every site back and unmaps all that is ours. Does nothing for a target that is gone.
   *
   * @returns false if memory had to stay in the target, because a thread does not leave it, because a site was changed by
   *   someone else and may still lead there, or because the target cannot be made to unmap it any more
   */
  release(): boolean {
    using _lock = this.process.isGone() ? undefined : this.process.lock();
    const isGuarded = this.#sites.hasGuards;
    this.#sites.undo((site) => !site.isGuard);
    const isSafe = !isGuarded || this.process.isGone() || this.#isLeft();
    if (isSafe) this.#sites.undo(() => true);
    const isUnused =
      this.process.isGone() || (this.#sites.isEmpty && !this.#sites.isLedTo(this.#code.ranges) && this.#isLeft());
    const isUnmapped = isUnused && this.#unmapAll();
    if (!isUnmapped) this.#journal?.close();
    this.#lease?.[Symbol.dispose]();
    this.#lease = undefined;
    this.#session?.mapping[Symbol.dispose]();
    this.#session = undefined;
    this.#meeting = undefined;
    this.#journal = undefined;
    this.#sites.close();
    this.#code.forget();
    this.#inherited.length = 0;
    this.#letGo.length = 0;
    return isUnmapped;
  }

  [Symbol.dispose](): void {
    this.release();
  }

  /** What was found when the batch began to ask: where it is wrong by now, the batch fails. */
  #knownChain(): Chain | undefined {
    const batch = this.#batch;
    if (batch === undefined) return this.#sites.findChain();
    if (!('chain' in batch)) batch.chain = this.#sites.findChain();
    return batch.chain;
  }

  #isLeft(): boolean {
    if (this.#code.isEmpty) return true;
    const { ranges } = this.#code;
    const beside = this.#letGo.length === 0 ? [] : this.#sharers().flatMap(({ code }) => code);
    return leaveTogether(this.process, {
      ranges,
      beside,
      letGo: (stackPointers) => this.#letGo.every((letGo) => letGo(ranges, stackPointers)),
    });
  }

  /** Other sessions that have memory together with us, or could. */
  #sharers() {
    using _lock = this.process.lock();
    return otherSharers(this.process, this.#session?.whole.address ?? 0n);
  }

  /** False if the target may make no system calls for us any more: it has confined itself, or is frozen. */
  #unmapAll(): boolean {
    const [first, ...codeRegions] = this.#code.all;
    // Last what says what all the others are.
    const regions = [...this.#inherited, ...codeRegions, this.#session?.whole ?? first];
    const mapped = regions.filter((region) => region !== undefined);
    if (mapped.length === 0 || !this.#isMapped()) return true;
    const others = this.#inherited.length === 0 ? [] : this.#sharers();
    try {
      unmap(this.process, withoutShared(mapped, others));
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
