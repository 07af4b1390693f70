/** A process outside us: what is mapped in it, its memory, its threads, and system calls made in its name. */
import { readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import { isSysError } from '../sys/errors.ts';
import { PidFd } from '../sys/pidfd.ts';
import { livingThread, readSeccompMode, readThreadIds } from '../sys/proc.ts';
import { type Mapping, readExecutableMaps, readMaps } from '../sys/proc-maps.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import { setOptions, TraceOption } from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { type AttachFacts, readAttachFacts } from './attach-facts.ts';
import { type RemoteCall, STUB_WAIT_US, type StubPlace } from './call-stub.ts';
import { ProcessError } from './errors.ts';
import { findModule } from './find-module.ts';
import { LastingModules } from './lasting-modules.ts';
import { groupModules, Module } from './module.ts';
import { readModuleFile } from './module-file.ts';
import { PreparedCalls } from './prepared-calls.ts';
import { permissionError, refusalOf } from './refusal.ts';
import { rehearse } from './rehearsal.ts';
import { RemoteCalls } from './remote-calls.ts';
import { type ResolvedFunction, resolveFunction } from './resolve-function.ts';
import { threadsInside } from './stack-scan.ts';
import { isUninterruptible, type StoppedThread, StopTimeout, stopTimeout } from './stopped-thread.ts';
import { lockTarget, StoppedThreads } from './stopped-threads.ts';
import { findStaleStubs, findStubPlace, isFree } from './stub-place.ts';

/**
 * Opens a running process. It is not stopped and not changed.
 *
 * @throws {ProcessError} PROCESS_* with the reason and, where there is one, the remedy
 */
export function openProcess(pid: number): TargetProcess {
  // First: from here on the number means one process, and what is read below is about it.
  const pidFd = openPidFd(pid);
  try {
    const facts = readAttachFacts(pid);
    const refusal = refusalOf(facts);
    if (refusal !== undefined) throw refusal;
    return new TargetProcess(facts, pidFd, openMemory(facts));
  } catch (error) {
    pidFd[Symbol.dispose]();
    throw error;
  }
}

function openPidFd(pid: number): PidFd {
  try {
    return new PidFd(pid);
  } catch (error) {
    // Whatever stands against it /proc tells more precisely, unless it has just ended.
    readAttachFacts(pid);
    throw error;
  }
}

function openMemory(facts: AttachFacts): ProcessMemory {
  try {
    return new ProcessMemory(livingThread(facts.pid));
  } catch (error) {
    if (isSysError(error, 'SYS_EACCES', 'SYS_EPERM')) throw permissionError(facts, error);
    throw error;
  }
}

/** Between looks at threads that do not seem to come back, in microseconds. */
const LOOK_PAUSE_US = 10_000;

/** How often threads are stopped until one of them can be lent. */
const ATTEMPTS = 10;

/** The segment of 64-bit code. Source: __USER_CS in arch/x86/include/asm/segment.h. */
const CODE_SEGMENT = 0x33n;

/**
 * In the middle of clone a thread's registers are not what it goes on with: who puts them back makes it believe that there is no
 * such call, and it makes a second thread on the first one's stack. A thread may execute 32-bit code in between, as in Wine. And
 * those that the kernel made for io_uring never leave it: they have no address to go on at.
 */
function isLendable({ isBetweenInstructions, registers }: StoppedThread): boolean {
  return isBetweenInstructions && registers.cs === CODE_SEGMENT && registers.rip !== 0n;
}

/** Dispose of it to close its descriptors; the process does not notice. */
export class TargetProcess implements Disposable {
  readonly pid: number;
  readonly facts: AttachFacts;
  /** Its memory, protection notwithstanding. */
  readonly memory: ProcessMemory;
  readonly #pidFd: PidFd;
  /** By place and file, so that a module's ELF file is read once. */
  #modules = new Map<string, Module>();
  /** By file: a library that comes back is analysed once, as long as it is the same to the byte. */
  readonly #files = new Map<string, Uint8Array>();
  readonly #lasting: LastingModules;
  /** Addresses of code that is known to stay. */
  readonly #lastingCode = new Set<bigint>();
  #longestPauseUs = 0;
  /** What must be closed before the process is, in the order it came. */
  readonly #tenants = new Set<Disposable>();

  /** @internal Use `openProcess`. */
  constructor(facts: AttachFacts, pidFd: PidFd, memory: ProcessMemory) {
    this.pid = facts.pid;
    this.facts = facts;
    this.memory = memory;
    this.#pidFd = pidFd;
    this.#lasting = new LastingModules(() => this.procId, memory);
  }

  /** A number under which /proc shows its memory and files: as a rule that of the process. */
  get procId(): number {
    return livingThread(this.pid);
  }

  /** False once it has ended. */
  isAlive(): boolean {
    return this.#pidFd.isAlive();
  }

  /** True once it has ended or replaced its program: nothing of ours is left in it then. */
  isGone(): boolean {
    return !this.isAlive() || this.memory.isGone();
  }

  /** A descriptor of ours for what it has open under `fd`. @throws {SysError} SYS_EBADF, SYS_EPERM */
  copyDescriptor(fd: number): number {
    return this.#pidFd.copyDescriptor(fd);
  }

  /** What is mapped now. @throws {ProcessError} PROCESS_EXITED */
  mappings(): readonly Mapping[] {
    const mappings = this.#read(readMaps);
    // One that ended, and that nobody has waited for, still has a file, an empty one; then its number may be another's.
    if (mappings.length === 0 || !this.isAlive()) throw this.#exited();
    return mappings;
  }

  /** Tells whether what is mapped executable is what it was: the same text then. @throws {ProcessError} PROCESS_EXITED */
  executableMaps(): string {
    const text = this.#read(readExecutableMaps);
    if (text === '' || !this.isAlive()) throw this.#exited();
    return text;
  }

  /** The libraries and executables that are mapped now. @throws {ProcessError} PROCESS_EXITED */
  modules(): readonly Module[] {
    const known = this.#modules;
    this.#modules = new Map();
    for (const mappings of groupModules(this.mappings())) {
      const key = mappings.map((m) => `${m.start}-${m.end}:${m.device}:${m.inode}`).join();
      const module = known.get(key) ?? new Module(mappings, (m) => this.#readFile(m));
      this.#modules.set(key, module);
    }
    return [...this.#modules.values()];
  }

  /** The dynamic linker or, of a program that has none, the program: it may bring a linker of its own. @throws {ProcessError} */
  linker(): Module {
    const { linkerBase, entry } = readAuxiliaryVector(this.procId);
    const linker = this.modules().find(
      (module) => module.start === linkerBase || (linkerBase === 0n && module.holdsCode(entry)),
    );
    if (linker !== undefined) return linker;
    throw new ProcessError('PROCESS_MODULE_NOT_FOUND', 'cannot find the dynamic linker: the process maps none');
  }

  /** False if a library may be unloaded: it was loaded on demand, as far as can be told. */
  isLasting(module: Module): boolean {
    return this.#lasting.includes(module, () => this.modules());
  }

  /**
   * @param name a path, a soname with or without version ('libc.so.6', 'libc'), a file's name, or the process's own
   * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND, PROCESS_EXITED
   */
  findModule(name: string): Module {
    return findModule(name, this.modules(), this.procId);
  }

  /**
   * @throws {ProcessError} PROCESS_SYMBOL_NOT_FOUND, PROCESS_IFUNC_UNRESOLVED, PROCESS_MODULE_UNREADABLE, PROCESS_EXITED
   * @throws {ElfError} if the module's file is malformed
   */
  resolveFunction(module: Module, symbol: string): ResolvedFunction {
    return resolveFunction(module, symbol, this.modules(), this.memory);
  }

  /**
   * Keeps other controllers from changing the process until the result is disposed of. Stops do that too.
   *
   * @throws {ProcessError} PROCESS_BUSY
   */
  lock(): Disposable {
    return lockTarget(this.pid);
  }

  /**
   * Stops every thread until the result is disposed of.
   *
   * @throws {ProcessError} PROCESS_STOP_TIMEOUT, PROCESS_EXITED, PROCESS_EXECED, PROCESS_TRACED, PROCESS_PERMISSION
   */
  stopThreads(): StoppedThreads {
    return StoppedThreads.all(this.pid, () => this.isAlive());
  }

  /** Why its threads could not be stopped now: told by looking on for a moment, without touching them. */
  whyNotStoppable(): ProcessError | undefined {
    let stuck = this.#threadIds().filter(isUninterruptible);
    const deadline = performance.now() + StopTimeout.UNINTERRUPTIBLE;
    while (stuck.length > 0 && performance.now() < deadline) {
      sleepMicroseconds(LOOK_PAUSE_US);
      stuck = stuck.filter(isUninterruptible);
    }
    return stuck.length === 0 ? undefined : stopTimeout(stuck);
  }

  /**
   * Has a thread of a stop make system calls while the others stand still. Dispose of the result before the stop.
   *
   * @param prepared for what `callPlace` found before the stop, so that the threads need not wait for that
   * @throws {ProcessError} PROCESS_NO_ROOM, PROCESS_SECCOMP, PROCESS_STOP_TIMEOUT
   */
  borrow(held: StoppedThreads, prepared: PreparedCalls): RemoteCalls {
    const thread = held.threads.find(isLendable);
    if (thread === undefined) throw this.#noneToLend(held.threads);
    this.#sleepFilters(thread.tid);
    const isUsable = isFree(prepared.place, this.memory);
    return new RemoteCalls(thread, this.memory, isUsable ? prepared : new PreparedCalls(this.callPlace()));
  }

  /** Where its threads may make system calls for us. @throws {ProcessError} PROCESS_NO_ROOM, PROCESS_EXITED */
  callPlace(): StubPlace {
    return findStubPlace(this.mappings(), this.memory, (address) => this.#lasts(address));
  }

  /**
   * Stops one thread, or all if none sleeps, and has one make system calls. It goes on where it was, whatever `body` does and
   * even if we are killed.
   *
   * @param runs what `body` will have it call as a rule
   * @throws {ProcessError} PROCESS_NO_ROOM, PROCESS_SECCOMP, and as `stopThreads`
   */
  withRemoteCalls<T>(body: (calls: RemoteCalls) => T, runs: readonly (readonly RemoteCall[])[] = []): T {
    rehearse();
    // Another controller might choose the same place.
    using _lock = this.lock();
    const prepared = new PreparedCalls(this.callPlace(), runs);
    for (let attempt = 1; ; attempt++) {
      const held =
        attempt === 1
          ? StoppedThreads.some(this.pid, () => this.isAlive())
          : StoppedThreads.all(this.pid, () => this.isAlive());
      try {
        // Another one may do, or the only one a moment later.
        if (attempt < ATTEMPTS && !held.threads.some(isLendable)) continue;
        using calls = this.borrow(held, prepared);
        return body(calls);
      } finally {
        held[Symbol.dispose]();
        this.#longestPauseUs = Math.max(this.#longestPauseUs, held.pauseMicroseconds);
      }
    }
  }

  /** How long a thread stood still at most for calls made since this was last asked, in microseconds. */
  takeLongestPause(): number {
    const longest = this.#longestPauseUs;
    this.#longestPauseUs = 0;
    return longest;
  }

  /**
   * Removes what controllers left that were killed in the middle of a call; stops threads only if there is any. A thread may
   * still wait there for the one that died, as long as nobody stops it: that would make it wait anew.
   */
  removeStaleStubs(): void {
    if (this.#removeUnusedStubs()) return;
    sleepMicroseconds(STUB_WAIT_US);
    this.#removeUnusedStubs();
  }

  /** True if none is left. */
  #removeUnusedStubs(): boolean {
    const mappings = this.mappings();
    const stale = findStaleStubs(mappings, this.memory);
    if (stale.length === 0) return true;
    using held = this.stopThreads();
    const unused = stale.filter((stub) => threadsInside([stub], held.threads, mappings, this.memory).length === 0);
    for (const { start, end } of unused) this.memory.write(start, new Uint8Array(Number(end - start)));
    return unused.length === stale.length;
  }

  /** Has `tenant` disposed of before the process is, unless it moves out first: users may close the two in any order. */
  moveIn(tenant: Disposable): void {
    this.#tenants.add(tenant);
  }

  moveOut(tenant: Disposable): void {
    this.#tenants.delete(tenant);
  }

  [Symbol.dispose](): void {
    for (const tenant of [...this.#tenants].reverse()) tenant[Symbol.dispose]();
    this.memory[Symbol.dispose]();
    this.#pidFd[Symbol.dispose]();
  }

  #readFile(module: Module): Uint8Array {
    const bytes = readModuleFile(this.procId, module, this.memory);
    const { device, inode } = module.mappings[0]!;
    const known = this.#files.get(`${device}:${inode}`);
    if (known !== undefined && Buffer.compare(known, bytes) === 0) return known;
    this.#files.set(`${device}:${inode}`, bytes);
    return bytes;
  }

  #threadIds(): readonly number[] {
    try {
      return readThreadIds(this.pid);
    } catch (error) {
      throw this.#exited(error);
    }
  }

  #read<T>(from: (pid: number) => T): T {
    try {
      return from(this.procId);
    } catch (error) {
      if (isSysError(error, 'SYS_ENOENT', 'SYS_ESRCH')) throw this.#exited(error);
      if (isSysError(error, 'SYS_EACCES', 'SYS_EPERM')) throw permissionError(readAttachFacts(this.pid), error);
      throw error;
    }
  }

  #exited(cause?: unknown): ProcessError {
    return new ProcessError('PROCESS_EXITED', `cannot read the mappings of process ${this.pid}: it ended`, { cause });
  }

  /** True if the code at `address` stays as long as the program does. */
  #lasts(address: bigint): boolean {
    if (this.#lastingCode.has(address)) return true;
    const module = this.modules().find((one) => one.holdsCode(address));
    if (module === undefined || !this.isLasting(module)) return false;
    this.#lastingCode.add(address);
    return true;
  }

  /** Its seccomp filters might kill a thread for the calls that it makes for us. */
  #sleepFilters(tid: number): void {
    const seccomp = readSeccompMode(tid);
    if (seccomp === 0) return;
    const refusal = refusalOf({ ...this.facts, seccomp: seccomp === 1 ? 'strict' : 'filter' });
    if (refusal !== undefined) throw refusal;
    try {
      setOptions(tid, TraceOption.SUSPEND_SECCOMP);
    } catch (error) {
      if (!isSysError(error, 'SYS_EPERM', 'SYS_EINVAL')) throw error;
      throw refusalOf({ ...this.facts, seccomp: 'filter', canSuspendSeccomp: false })!;
    }
  }

  #noneToLend(threads: readonly StoppedThread[]): ProcessError {
    if (!threads.every(({ registers }) => registers.cs !== CODE_SEGMENT))
      return stopTimeout(threads.map(({ tid }) => tid));
    return new ProcessError(
      'PROCESS_WRONG_ARCH',
      `cannot enter process ${this.pid} (${this.facts.name}): it executes 32-bit code, wanted x86-64`,
    );
  }
}
