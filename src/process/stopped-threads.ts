/**
 * Stopping the threads of a process and letting them go again, so that none can tell.
 * Threads are seized and interrupted, never sent a signal, and detached afterwards: a thread that stayed traced would hang at its
 * next clone. Source: ptrace(2).
 */
import { availableParallelism } from 'node:os';
import { isSysError } from '../sys/errors.ts';
import { countThreads, readStatus, readThreadIds, readThreadState } from '../sys/proc.ts';
import { lockProcess } from '../sys/process-lock.ts';
import { detach, interrupt, readEventMessage, resume, seize, TraceOption } from '../sys/ptrace.ts';
import { raisePriority, sleepMicroseconds } from '../sys/scheduling.ts';
import { withoutStopNotices } from '../sys/stop-notices.ts';
import type { WaitEvent } from '../sys/wait.ts';
import { readAttachFacts } from './attach-facts.ts';
import { ProcessError } from './errors.ts';
import { reclaimLate, releaseLate } from './late-release.ts';
import { isParked, stopAgain } from './parked.ts';
import { permissionError } from './refusal.ts';
import { detachTogether, MANY_THREADS, StopLoop, type TakenThread } from './stop-loop.ts';
import { Patience, StoppedThread, StopTimeout, stopTimeout } from './stopped-thread.ts';
import { watchHold } from './watchdog.ts';

/** How many threads are looked at to find one to borrow. */
const CANDIDATES = 16;

/** Threads of one process, held. Dispose of it to let them go; if we die the kernel does. */
export class StoppedThreads implements Disposable {
  readonly #pid: number;
  /** undefined: seized, not stopped yet. */
  readonly #threads = new Map<number, StoppedThread | undefined>();
  /** True if a thread must be waited for that was waited for already. */
  #isReplaced = false;
  readonly #lock: Disposable;
  readonly #watch: Disposable;
  #priority: Disposable | undefined;
  #notices: Disposable | undefined;
  #stoppedAt = 0;
  #pause = 0;

  /** @throws {ProcessError} PROCESS_BUSY */
  private constructor(pid: number) {
    // First: the watchdog gets copies of our descriptors when it is made, and would keep the lock.
    this.#watch = watchHold();
    this.#lock = lockWatched(pid, this.#watch);
    this.#pid = pid;
  }

  /**
   * Stops every thread of a process, those included that are created meanwhile.
   *
   * @param isAlive asked before the threads are seized and after: false if `pid` is not the process meant any more
   * @throws {ProcessError} PROCESS_STOP_TIMEOUT, PROCESS_EXITED, PROCESS_EXECED, PROCESS_TRACED, PROCESS_PERMISSION; every
   *   thread is let go again
   */
  static all(pid: number, isAlive: () => boolean): StoppedThreads {
    const held = new StoppedThreads(pid);
    return held.#stop(() => {
      held.#whileMeant(isAlive, () => held.#seizeNew());
      held.#stopRunning();
      if (held.#threads.size === 0) throw exited(pid);
    });
  }

  /**
   * Stops at least one thread of a process, for a while: one that sleeps, if there are processors to spare; else all, since each time
   * one among many runnable threads is to run it waits until they had their turn.
   *
   * @throws {ProcessError} as `all` does
   */
  static some(pid: number, isAlive: () => boolean): StoppedThreads {
    const sleeping = sleepingThreads(pid);
    if (sleeping.length === 0) return StoppedThreads.all(pid, isAlive);
    const held = new StoppedThreads(pid);
    return held.#stop(() => {
      const seized = held.#whileMeant(isAlive, () => sleeping.some((tid) => held.#seize(tid)));
      if (!seized) throw stopTimeout(readTasks(pid));
      using patience = new Patience(StopTimeout.ONE);
      held.#begin();
      held.#interruptRunning();
      held.#awaitStops(patience);
      if (held.#threads.size === 0) throw exited(pid);
    });
  }

  /** The threads that stand still, in the order of their ids. */
  get threads(): readonly StoppedThread[] {
    return [...this.#threads.values()].filter((thread) => thread !== undefined);
  }

  /** How long threads stood still, from the first that was told to until all went on, in microseconds; 0 while they do. */
  get pauseMicroseconds(): number {
    return this.#pause;
  }

  /**
   * Lets some of the threads run for a moment while the others stand still.
   *
   * @throws {ProcessError} PROCESS_STOP_TIMEOUT if they do not stop again
   */
  runAlone(threads: readonly StoppedThread[], microseconds: number): void {
    for (const { tid, signal } of threads) {
      ignoreGone(() => resume(tid, signal));
      this.#threads.set(tid, undefined);
    }
    sleepMicroseconds(microseconds);
    this.#stopRunning();
  }

  /** Lets all threads go, each with the signal it was about to get. */
  [Symbol.dispose](): void {
    const leaving: [tid: number, signal: number][] = [];
    for (const [tid, thread] of this.#threads) {
      if (isParked(tid) && thread?.isRunning === false) continue;
      if (thread === undefined || thread.isRunning) releaseLate(tid);
      else leaving.push([tid, thread.signal]);
    }
    if (leaving.length >= MANY_THREADS) detachTogether(leaving);
    else for (const [tid, signal] of leaving) ignoreGone(() => detach(tid, signal));
    if (this.#stoppedAt > 0) this.#pause = Math.round((performance.now() - this.#stoppedAt) * 1000);
    this.#threads.clear();
    this.#priority?.[Symbol.dispose]();
    this.#priority = undefined;
    this.#notices?.[Symbol.dispose]();
    this.#notices = undefined;
    this.#watch[Symbol.dispose]();
    this.#lock[Symbol.dispose]();
  }

  #stop(body: () => void): this {
    try {
      body();
      return this;
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Seizes threads unless they are, or turn out to be, those of another process that got the number. */
  #whileMeant<T>(isAlive: () => boolean, seizeSome: () => T): T {
    if (!isAlive()) throw exited(this.#pid);
    const result = seizeSome();
    if (isAlive()) return result;
    // Only what stops can be let go.
    this.#interruptRunning();
    throw exited(this.#pid);
  }

  /** Seizes threads until a pass over them finds none that is new; true if it found any. */
  #seizeNew(): boolean {
    let found = false;
    for (let again = true; again; ) {
      again = false;
      for (const tid of readTasks(this.#pid)) {
        if (!this.#threads.has(tid) && this.#seize(tid)) again = found = true;
      }
    }
    return found;
  }

  /** False if the thread is gone or as good as gone. */
  #seize(tid: number): boolean {
    try {
      if (isParked(tid)) stopAgain(tid);
      else if (!reclaimLate(tid)) seize(tid, TraceOption.CLONE | TraceOption.EXEC);
    } catch (error) {
      if (isSysError(error, 'SYS_ESRCH')) return false;
      if (!isSysError(error, 'SYS_EPERM')) throw error;
      const state = readThreadState(this.#pid, tid);
      if (state === undefined || state === 'Z' || state === 'X') return false;
      // A thread made by one of ours is traced from the start.
      const tracer = tracerOf(tid);
      if (tracer !== process.pid) throw notPermitted(this.#pid, tracer, error);
    }
    this.#threads.set(tid, undefined);
    return true;
  }

  /** From here on threads are told to stop. */
  #begin(): void {
    this.#notices ??= withoutStopNotices();
    this.#priority ??= raisePriority();
    if (this.#stoppedAt === 0) this.#stoppedAt = performance.now();
  }

  /** Stops what runs, and the threads that it creates meanwhile. */
  #stopRunning(): void {
    using patience = new Patience(StopTimeout.ALL);
    const running = [...this.#threads].filter(([, thread]) => thread === undefined).map(([tid]) => tid);
    const together = running.length >= MANY_THREADS && patience.hasTicks ? new StopLoop(running) : undefined;
    this.#begin();
    if (together !== undefined) this.#noteAll(together.run());
    do {
      this.#interruptRunning();
      this.#awaitStops(patience);
    } while (!this.#isComplete() && this.#seizeNew());
  }

  /** True if there are as many threads as we hold: then there is no other, and their list need not be read again. */
  #isComplete(): boolean {
    try {
      return countThreads(this.#pid) === this.#threads.size;
    } catch {
      return false;
    }
  }

  #interruptRunning(): void {
    for (const [tid, thread] of this.#threads) {
      if (thread === undefined) ignoreGone(() => interrupt(tid));
    }
  }

  /** In any order: each of them stops without the help of another. */
  #awaitStops(patience: Patience): void {
    do {
      this.#isReplaced = false;
      for (const [tid, thread] of this.#threads) {
        if (thread === undefined) this.#awaitStop(tid, patience);
      }
    } while (this.#isReplaced);
  }

  #awaitStop(tid: number, patience: Patience): void {
    while (!this.#take(tid, patience)) {
      if (patience.remainsFor(tid)) continue;
      throw stopTimeout([...this.#threads].filter(([, thread]) => thread === undefined).map(([running]) => running));
    }
  }

  /** Waits a little for what a running thread reports, and notes it; false if that was nothing. */
  #take(tid: number, patience: Patience): boolean {
    return this.#unlessGone(tid, () => {
      const event = patience.awaitEvent(tid);
      if (event === undefined) return this.#dropZombie(tid);
      this.#note(tid, event);
      return true;
    });
  }

  /** All of them, whatever comes of it: who is not noted to stand still is not let go. */
  #noteAll(taken: readonly TakenThread[]): void {
    const failures: unknown[] = [];
    for (const { tid, event, registers } of taken) {
      try {
        this.#unlessGone(tid, () => this.#note(tid, event, registers));
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }

  /** True if the thread turned out to be gone; it is struck off then. */
  #unlessGone<T>(tid: number, body: () => T): T | true {
    try {
      return body();
    } catch (error) {
      // Gone while we looked.
      if (!isSysError(error, 'SYS_ECHILD', 'SYS_ESRCH')) throw error;
      this.#threads.delete(tid);
      if (isSysError(error, 'SYS_ECHILD') && tid !== this.#pid) this.#awaitSuccessor();
      return true;
    }
  }

  /** Notes what a running thread reported. */
  #note(tid: number, event: WaitEvent, registers?: Uint8Array): void {
    if (event.kind === 'ended') this.#threads.delete(tid);
    else this.#threads.set(tid, new StoppedThread(tid, event, registers));
    if (event.kind === 'clone') this.#disown(readEventMessage(tid));
    if (event.kind === 'exec') {
      throw new ProcessError('PROCESS_EXECED', `cannot stop process ${this.#pid}: it replaced its program`);
    }
  }

  /**
   * A thread that is gone without having ended is the first one now, in whose place it replaces the program: what that had come to
   * is of no meaning, and it will stop anew.
   */
  #awaitSuccessor(): void {
    if (this.#threads.has(this.#pid)) {
      this.#threads.set(this.#pid, undefined);
      this.#isReplaced = true;
    } else {
      releaseLate(this.#pid);
    }
  }

  /** A first thread that ended before the others reports nothing until they end too. */
  #dropZombie(tid: number): boolean {
    if (tid !== this.#pid || readThreadState(this.#pid, tid) !== 'Z') return false;
    this.#threads.delete(tid);
    releaseLate(tid);
    return true;
  }

  /** clone(2) can make processes too; those are not ours. */
  #disown(tid: number): void {
    if (readTasks(this.#pid).includes(tid) || this.#threads.has(tid)) return;
    releaseLate(tid);
  }
}

/** Threads that sleep, or were stopped by a signal; none if others have all processors. */
function sleepingThreads(pid: number): readonly number[] {
  const states = readTasks(pid)
    .slice(0, CANDIDATES)
    .map((tid) => [tid, readThreadState(pid, tid)] as const);
  const running = states.filter(([, state]) => state === 'R').length;
  if (running >= availableParallelism()) return [];
  return states.filter(([, state]) => state === 'S' || state === 'T').map(([tid]) => tid);
}

function readTasks(pid: number): readonly number[] {
  try {
    return readThreadIds(pid);
  } catch (error) {
    if (isSysError(error, 'SYS_ENOENT', 'SYS_ESRCH')) return [];
    throw error;
  }
}

function tracerOf(tid: number): number {
  try {
    return readStatus(tid).tracer;
  } catch {
    return 0;
  }
}

function ignoreGone(body: () => void): void {
  try {
    body();
  } catch (error) {
    if (!isSysError(error, 'SYS_ESRCH')) throw error;
  }
}

/** One controller at a time. @throws {ProcessError} PROCESS_BUSY */
export function lockTarget(pid: number): Disposable {
  const lock = lockProcess(pid);
  if (lock !== undefined) return lock;
  throw new ProcessError('PROCESS_BUSY', `cannot stop process ${pid}: another remora is at work there`, {
    fix: 'try again',
  });
}

function lockWatched(pid: number, watch: Disposable): Disposable {
  try {
    return lockTarget(pid);
  } catch (error) {
    watch[Symbol.dispose]();
    throw error;
  }
}

function exited(pid: number): ProcessError {
  return new ProcessError('PROCESS_EXITED', `cannot stop process ${pid}: it ended`);
}

function notPermitted(pid: number, tracer: number, cause: unknown): ProcessError {
  return tracer === 0
    ? permissionError(readAttachFacts(pid), cause)
    : new ProcessError('PROCESS_TRACED', `cannot trace process ${pid}: process ${tracer} traces it`, { cause });
}
