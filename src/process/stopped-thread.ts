/** One thread that stands still: its registers, and letting it run a little. */
import { constants } from 'node:os';
import { viewOf } from '../bytes/struct.ts';
import { isSysError } from '../sys/errors.ts';
import { readThreadState } from '../sys/proc.ts';
import { interrupt, type Registers, readRegisters, resume, UserRegs, writeRegisters } from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { ThreadActivity } from '../sys/thread-activity.ts';
import { startTicks } from '../sys/ticks.ts';
import { awaitEvent, takeEvent, type WaitEvent } from '../sys/wait.ts';
import { ProcessError } from './errors.ts';
import { withoutSpuriousEintr } from './resume-point.ts';

/** How long threads get to stop, in milliseconds. One in vfork(2) cannot until its child is done. */
export const StopTimeout = {
  /** While all others stand still. */
  ALL: 2000,
  /** As long as what remains waits where nothing interrupts it: that may be over in a moment, or take minutes. */
  UNINTERRUPTIBLE: 600,
  /** While they run on: a busy machine may not let the thread run for long. */
  ONE: 10_000,
} as const;

const { EINTR } = constants.errno;

/** A thread that stands still until it is let go. */
export class StoppedThread {
  readonly tid: number;
  /** What it stopped for, undefined while it runs. */
  #event: WaitEvent | undefined;
  /** As the kernel gave them: they are decoded when asked for, since of hundreds of threads only one or two are. */
  #bytes: Uint8Array;
  #registers: Registers | undefined;

  /** @internal @param bytes UserRegs, if they were read already */
  constructor(tid: number, event: WaitEvent, bytes = readRegisters(tid)) {
    this.tid = tid;
    this.#event = event;
    this.#bytes = bytes;
    if (event.kind !== 'trap' || !this.#mayBeInterrupted()) return;
    const registers = withoutSpuriousEintr(this.registers);
    if (registers !== this.registers) this.registers = registers;
  }

  /** True while it runs: it did not come to the stop it was let run to. */
  get isRunning(): boolean {
    return this.#event === undefined;
  }

  /** False inside a system call that made it stop: there its registers are not yet what it goes on with. */
  get isBetweenInstructions(): boolean {
    return this.#event?.kind === 'trap' || this.#event?.kind === 'group-stop' || this.#event?.kind === 'signal';
  }

  get registers(): Registers {
    this.#registers ??= UserRegs.read(this.#bytes);
    return this.#registers;
  }

  /** Its instruction pointer, without the other registers. */
  get rip(): bigint {
    return this.#registers?.rip ?? viewOf(this.#bytes).getBigUint64(UserRegs.offsetOf.rip, true);
  }

  /** Its stack pointer, without the other registers. */
  get rsp(): bigint {
    return this.#registers?.rsp ?? viewOf(this.#bytes).getBigUint64(UserRegs.offsetOf.rsp, true);
  }

  /** @throws {ProcessError} PROCESS_EXITED */
  set registers(registers: Registers) {
    this.#whileItLives(() => writeRegisters(this.tid, registers));
    this.#registers = registers;
  }

  /** The signal it gets when it goes on, 0 for none. */
  get signal(): number {
    return this.#event?.kind === 'signal' ? this.#event.signal : 0;
  }

  /**
   * Has it take the signal it was stopped for, and stops it again as soon as it has.
   *
   * @throws {ProcessError} PROCESS_EXITED, PROCESS_STOP_TIMEOUT
   */
  takeSignal(): WaitEvent {
    const begin = () => {
      interrupt(this.tid);
      resume(this.tid, this.signal);
    };
    return this.#run(begin, awaitStop);
  }

  /**
   * Lets it run until it sleeps and stops it there, unless something else stops it first.
   *
   * @throws {ProcessError} PROCESS_EXITED, PROCESS_STOP_TIMEOUT
   */
  runToSleep(): WaitEvent {
    return this.#run(() => resume(this.tid, 0), awaitSleep);
  }

  #run(begin: () => void, wait: (tid: number) => WaitEvent): WaitEvent {
    return this.#whileItLives(() => {
      begin();
      this.#event = undefined;
      const event = wait(this.tid);
      if (event.kind === 'ended') throw threadEnded(this.tid);
      this.#event = event;
      this.#bytes = readRegisters(this.tid);
      this.#registers = undefined;
      return event;
    });
  }

  /** True if the low half of rax is -EINTR. */
  #mayBeInterrupted(): boolean {
    return viewOf(this.#bytes).getInt32(UserRegs.offsetOf.rax, true) === -EINTR;
  }

  #whileItLives<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw isSysError(error, 'SYS_ESRCH', 'SYS_ECHILD') ? threadEnded(this.tid, error) : error;
    }
  }
}

/** Time to wait for threads to stop. Dispose of it when they have. */
export class Patience implements Disposable {
  readonly #begin = performance.now();
  readonly #timeoutMs: number;
  readonly #ticks = startTicks();

  /** @param timeoutMs one of StopTimeout; the time begins now */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /** False once the time is up. */
  get remains(): boolean {
    return performance.now() < this.#begin + this.#timeoutMs;
  }

  /** Whether there is still time for a thread that has not stopped. */
  remainsFor(tid: number): boolean {
    const isLong = performance.now() > this.#begin + StopTimeout.UNINTERRUPTIBLE;
    return this.remains && !(isLong && isUninterruptible(tid));
  }

  /** True if waits end by themselves, so that threads may be waited for without a look at the time. */
  get hasTicks(): boolean {
    return this.#ticks !== undefined;
  }

  /**
   * Waits for what a thread reports, but not long: undefined if that was nothing.
   *
   * @throws {SysError} SYS_ECHILD if it is not traced by us, or gone
   */
  awaitEvent(tid: number): WaitEvent | undefined {
    if (this.#ticks !== undefined) return awaitEvent(tid);
    const event = takeEvent(tid);
    if (event === undefined) sleepMicroseconds(LOOK_PAUSE_US);
    return event;
  }

  [Symbol.dispose](): void {
    this.#ticks?.[Symbol.dispose]();
  }
}

/** Looks at a thread without a rest: what it does for us on another processor takes less time than to fall asleep. */
const QUICK_LOOKS = 25;

/** Between looks at a thread where nothing tells that there is something to see. */
const LOOK_PAUSE_US = 20;
const LONGEST_PAUSE_US = 500;

/** The error for threads that did not stop in time. */
export function stopTimeout(tids: readonly number[]): ProcessError {
  const names = tids.length > 4 ? `${tids.slice(0, 4).join(', ')} and ${tids.length - 4} more` : tids.join(', ');
  return new ProcessError('PROCESS_STOP_TIMEOUT', `cannot stop thread ${names}: it does not come to a stop`, {
    why: tids.some(isUninterruptible)
      ? 'it waits in the kernel where nothing interrupts it: for its child in vfork, for a disk, or to be thawed'
      : 'it gets no processor time',
    fix: 'try again',
  });
}

/** True of a thread that waits in the kernel for something that no signal ends. */
export function isUninterruptible(tid: number): boolean {
  return readThreadState(tid, tid) === 'D';
}

function awaitStop(tid: number): WaitEvent {
  for (let look = 0; look < QUICK_LOOKS; look++) {
    const event = takeEvent(tid);
    if (event !== undefined) return event;
  }
  using patience = new Patience(StopTimeout.ONE);
  do {
    const event = patience.awaitEvent(tid);
    if (event !== undefined) return event;
  } while (patience.remains);
  throw stopTimeout([tid]);
}

/** Waits until a running thread stops by itself, or sleeps: then it is stopped. It is left its processor meanwhile. */
function awaitSleep(tid: number): WaitEvent {
  using activity = openActivity(tid);
  const deadline = performance.now() + StopTimeout.ONE;
  let pause = LOOK_PAUSE_US;
  for (let look = 0; performance.now() < deadline; look++) {
    // In this order: what stops of itself does not run either.
    const isRunning = activity?.isRunning() ?? readThreadState(tid, tid) !== 'S';
    const event = takeEvent(tid);
    if (event !== undefined) return event;
    if (!isRunning) {
      interrupt(tid);
      return awaitStop(tid);
    }
    if (look < QUICK_LOOKS) continue;
    sleepMicroseconds(pause);
    pause = Math.min(2 * pause, LONGEST_PAUSE_US);
  }
  throw stopTimeout([tid]);
}

function openActivity(tid: number): ThreadActivity | undefined {
  try {
    return new ThreadActivity(tid);
  } catch {
    return undefined;
  }
}

/** What is thrown where a thread turns out to be gone. */
export function threadEnded(tid: number, cause?: unknown): ProcessError {
  return new ProcessError('PROCESS_EXITED', `cannot go on in thread ${tid}: it ended`, { cause });
}
