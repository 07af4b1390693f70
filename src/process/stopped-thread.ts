/** One thread that stands still: its registers, and letting it run a little. */
import { isSysError } from '../sys/errors.ts';
import { interrupt, type Registers, readRegisters, resume, resumeToSystemCall, writeRegisters } from '../sys/ptrace.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';
import { takeEvent, type WaitEvent } from '../sys/wait.ts';
import { ProcessError } from './errors.ts';
import { withoutSpuriousEintr } from './resume-point.ts';

/** How long threads get to stop. One in vfork(2) cannot until its child is done, and holds the others meanwhile. */
const STOP_TIMEOUT_MS = 2000;

/** Most threads stop within microseconds: look often at first, then leave the processor to them. */
const EAGER_LOOKS = 64;
const LOOK_INTERVAL_US = 30;

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

/** When to look again whether threads have stopped. Its time begins when it is made. */
export class Look {
  readonly #deadline = performance.now() + STOP_TIMEOUT_MS;
  #count = 0;

  /** Waits a little; false once the time is up. */
  again(): boolean {
    if (this.#count++ < EAGER_LOOKS) return true;
    sleepMicroseconds(LOOK_INTERVAL_US);
    return performance.now() < this.#deadline;
  }
}

/** The error for threads that did not stop in the time a Look gives. */
export function stopTimeout(tids: readonly number[]): ProcessError {
  const names = tids.length > 4 ? `${tids.slice(0, 4).join(', ')} and ${tids.length - 4} more` : tids.join(', ');
  return new ProcessError(
    'PROCESS_STOP_TIMEOUT',
    `cannot stop thread ${names}: still running after ${STOP_TIMEOUT_MS} ms`,
    { why: 'it is in a call that cannot be interrupted, such as vfork, or gets no processor time', fix: 'try again' },
  );
}

function awaitEvent(tid: number): WaitEvent {
  const look = new Look();
  do {
    const event = takeEvent(tid);
    if (event !== undefined) return event;
  } while (look.again());
  throw stopTimeout([tid]);
}

function threadEnded(tid: number, cause?: unknown): ProcessError {
  return new ProcessError('PROCESS_EXITED', `cannot go on in thread ${tid}: it ended`, { cause });
}
