/** One thread that stands still: its registers, and letting it run a little. */
import { isSysError } from '../sys/errors.ts';
import { interrupt, type Registers, readRegisters, resume, resumeToSystemCall, writeRegisters } from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { takeEvent, type WaitEvent } from '../sys/wait.ts';
import { ProcessError } from './errors.ts';
import { withoutSpuriousEintr } from './resume-point.ts';

/** How long threads get to stop, in milliseconds. One in vfork(2) cannot until its child is done. */
export const StopTimeout = {
  /** While all others stand still. */
  ALL: 2000,
  /** While they run on: a busy machine may not let the thread run for long. */
  ONE: 10_000,
} as const;

/**
 * Pauses between looks, in microseconds; the last one is repeated. Most threads stop at once, but only where they get a
 * processor, and that may be ours: on two busy processors looking without pause takes twice as long, and so do pauses of 5 or 50.
 */
const LOOK_PAUSES_US = [0, 5, 10, 20] as const;

/** A thread that stands still until it is let go. */
export class StoppedThread {
  readonly tid: number;
  /** What it stopped for, undefined while it runs. */
  #event: WaitEvent | undefined;
  #registers: Registers;

  /** @internal */
  constructor(tid: number, event: WaitEvent) {
    this.tid = tid;
    this.#event = event;
    this.#registers = readRegisters(tid);
    if (event.kind !== 'trap') return;
    const registers = withoutSpuriousEintr(this.#registers);
    if (registers !== this.#registers) this.registers = registers;
  }

  /** True while it runs: it did not come to the stop it was let run to. */
  get isRunning(): boolean {
    return this.#event === undefined;
  }

  get registers(): Registers {
    return this.#registers;
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
   * Lets it run to its next stop: with `how` 'system-call' the entry or exit of one; with 'signal' it takes the signal it was
   * stopped for and stops again as soon as it has.
   *
   * @throws {ProcessError} PROCESS_EXITED, PROCESS_STOP_TIMEOUT
   */
  runTo(how: 'system-call' | 'signal'): WaitEvent {
    return this.#whileItLives(() => {
      if (how === 'system-call') resumeToSystemCall(this.tid);
      else {
        interrupt(this.tid);
        resume(this.tid, this.signal);
      }
      this.#event = undefined;
      const event = awaitEvent(this.tid);
      if (event.kind === 'ended') throw threadEnded(this.tid);
      this.#event = event;
      this.#registers = readRegisters(this.tid);
      return event;
    });
  }

  #whileItLives<T>(body: () => T): T {
    try {
      return body();
    } catch (error) {
      throw isSysError(error, 'SYS_ESRCH', 'SYS_ECHILD') ? threadEnded(this.tid, error) : error;
    }
  }
}

/** When to look again whether threads have stopped. */
export class Look {
  readonly #deadline: number;
  #count = 0;

  /** @param timeoutMs one of StopTimeout; the time begins now */
  constructor(timeoutMs: number) {
    this.#deadline = performance.now() + timeoutMs;
  }

  /** Waits a little; false once the time is up. */
  again(): boolean {
    sleepMicroseconds(LOOK_PAUSES_US[this.#count++] ?? 20);
    return performance.now() < this.#deadline;
  }
}

/** The error for threads that did not stop in time. */
export function stopTimeout(tids: readonly number[]): ProcessError {
  const names = tids.length > 4 ? `${tids.slice(0, 4).join(', ')} and ${tids.length - 4} more` : tids.join(', ');
  return new ProcessError('PROCESS_STOP_TIMEOUT', `cannot stop thread ${names}: it does not come to a stop`, {
    why: 'it is in a call that cannot be interrupted, such as vfork, or gets no processor time',
    fix: 'try again',
  });
}

function awaitEvent(tid: number): WaitEvent {
  const look = new Look(StopTimeout.ONE);
  do {
    const event = takeEvent(tid);
    if (event !== undefined) return event;
  } while (look.again());
  throw stopTimeout([tid]);
}

function threadEnded(tid: number, cause?: unknown): ProcessError {
  return new ProcessError('PROCESS_EXITED', `cannot go on in thread ${tid}: it ended`, { cause });
}
