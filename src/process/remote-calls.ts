/**
 * System calls made by a thread of the target on our behalf. See call-stub.ts for why the target survives us at any point.
 * All calls of a run are made in one turn of the thread: where hundreds of others want to run too, each turn is a long wait.
 */
import { errnoName, isSysError, SysError } from '../sys/errors.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import type { Registers } from '../sys/ptrace.ts';
import {
  completeStub,
  NO_FILE,
  type RemoteCall,
  readOutcome,
  STUB_REGISTERS,
  type StubCode,
  type StubPlace,
  waitingAddress,
} from './call-stub.ts';
import { ProcessError } from './errors.ts';
import type { PreparedCalls } from './prepared-calls.ts';
import { NO_SYSTEM_CALL, resumePoint } from './resume-point.ts';
import { type StoppedThread, StopTimeout, stopTimeout, threadEnded } from './stopped-thread.ts';
import type { SystemCallName } from './system-calls.ts';

/** A thread that sleeps for this long before it executes anything will not begin. */
const STANDSTILL_MS = 300;

/** How a run of calls ended. */
export interface RunOutcome {
  /** How many were made rightly. */
  readonly done: number;
  /** What the last one returned, or the one that failed. */
  readonly result: bigint;
  /** Why the one behind those was not. */
  readonly error: ProcessError | undefined;
}

/** A thread lent to us. Dispose of it before it is let go: then it is where it was, and the stub is gone. */
export class RemoteCalls implements Disposable {
  readonly #thread: StoppedThread;
  readonly #memory: ProcessMemory;
  readonly #place: StubPlace;
  readonly #prepared: PreparedCalls;
  /** The registers as the stop found them, and as the thread is to go on with. */
  #found: Registers;
  #restored: Registers;
  #file = NO_FILE;
  /** It waited too long for us, and went on by itself. */
  #hasLeft = false;

  /**
   * @param thread one that is stopped, not inside a system call that goes on
   * @param prepared with free bytes of an executable mapping as its place
   */
  constructor(thread: StoppedThread, memory: ProcessMemory, prepared: PreparedCalls) {
    this.#thread = thread;
    this.#memory = memory;
    this.#place = prepared.place;
    this.#prepared = prepared;
    if (thread.signal !== 0) takeSignals(thread);
    this.#found = thread.registers;
    this.#restored = resumePoint(this.#found);
  }

  /** The thread that was lent. */
  get tid(): number {
    return this.#thread.tid;
  }

  /** The registers the thread goes on with. */
  get registers(): Registers {
    return this.#restored;
  }

  /** The descriptor that a call of memfd_create or socket made and none of close has closed. */
  get file(): number | undefined {
    return this.#file === NO_FILE ? undefined : Number(this.#file);
  }

  /** One call. @throws {ProcessError} PROCESS_CALL_FAILED if the result is an error, PROCESS_EXITED */
  call(name: SystemCallName, ...args: readonly (number | bigint)[]): bigint {
    return this.run([{ name, args }]);
  }

  /**
   * Makes calls, one behind the other, in as few turns as there is room for; up to the first that fails.
   *
   * @returns what the last one returned
   * @throws {ProcessError} PROCESS_CALL_FAILED, PROCESS_EXITED, PROCESS_STOP_TIMEOUT
   */
  run(calls: readonly RemoteCall[]): bigint {
    const { result, error } = this.tryRun(calls);
    if (error !== undefined) throw error;
    return result;
  }

  /** As `run`, but tells how far it came. @throws {ProcessError} PROCESS_EXITED, PROCESS_STOP_TIMEOUT */
  tryRun(calls: readonly RemoteCall[]): RunOutcome {
    let outcome: RunOutcome = { done: 0, result: 0n, error: undefined };
    while (outcome.done < calls.length && outcome.error === undefined) {
      outcome = this.#runSome(calls, outcome.done);
    }
    return outcome;
  }

  [Symbol.dispose](): void {
    // In a call that does not come back: the stub brings it back later, and stays.
    if (this.#thread.isRunning || (this.#hasLeft && this.#isInStub(this.#thread.rip))) return;
    // Another thread has replaced the program, and goes by this one's number: its registers are none of ours.
    if (this.#memory.isGone()) return;
    try {
      // As it was found, not as the stub restores it: of an interrupted call the kernel decides when it is let go.
      if (!this.#hasLeft) this.#thread.registers = this.#found;
      this.#memory.write(this.#start, new Uint8Array(this.#place.capacity));
    } catch (error) {
      const hasEnded =
        isSysError(error, 'SYS_EIO') || (error instanceof ProcessError && error.code === 'PROCESS_EXITED');
      if (!hasEnded) throw error;
    }
  }

  get #start(): bigint {
    return this.#place.end - BigInt(this.#place.capacity);
  }

  #isInStub(address: bigint): boolean {
    return address >= this.#start && address < this.#place.end;
  }

  #runSome(calls: readonly RemoteCall[], from: number): RunOutcome {
    if (this.#thread.signal !== 0) this.#giveBack();
    const first = calls[from]!;
    const code = this.#prepared.codeFor(calls, from);
    if (code.count === 0) throw new RangeError(`no room for a call of ${first.name}`);
    const { bytes, start, count } = completeStub(this.#place, code, this.#restored);
    this.#write(start, bytes);
    this.#thread.registers = { ...this.#restored, rip: start, rbx: this.#file, origRax: NO_SYSTEM_CALL };
    this.#awaitWaiting(first.name, code, start);
    const outcome = readOutcome(this.#thread.registers);
    this.#file = outcome.file;
    const done = from + outcome.count;
    const error = outcome.count < count ? failure(calls[done]!, outcome.result) : undefined;
    return { done, result: outcome.result, error };
  }

  /** @throws {ProcessError} PROCESS_EXITED: nothing else takes away what was just found mapped */
  #write(address: bigint, bytes: Uint8Array): void {
    try {
      this.#memory.write(address, bytes);
    } catch (error) {
      throw isSysError(error, 'SYS_EIO') ? threadEnded(this.#thread.tid, error) : error;
    }
  }

  /** Lets the thread run until it waits for us. */
  #awaitWaiting(name: SystemCallName, code: StubCode, start: bigint): void {
    const begin = performance.now();
    const deadline = begin + StopTimeout.ONE;
    while (performance.now() < deadline) {
      const event = this.#thread.runToSleep();
      if (event.kind === 'exec') {
        throw new ProcessError('PROCESS_EXECED', `cannot have ${name} called: the process replaced its program`);
      }
      const { rip } = this.#thread;
      if (rip === waitingAddress(this.#place)) return;
      if (rip > waitingAddress(this.#place) || !this.#isInStub(rip)) break;
      // It slept in front of its first instruction: so do frozen threads.
      if (rip === start && event.kind === 'trap' && performance.now() > begin + STANDSTILL_MS) {
        throw new ProcessError('PROCESS_FROZEN', `cannot have thread ${this.tid} make system calls: it is frozen`, {
          why: 'it is let run, and does not execute anything',
        });
      }
      if (event.kind === 'signal') this.#giveBackFor(code);
      // Anything else is a stop on the way, or one of the whole process that takes effect when the thread is let go.
    }
    this.#hasLeft = true;
    throw stopTimeout([this.#thread.tid]);
  }

  /** A signal came in the middle of a run: the thread takes it where the stop found it, then goes on with the run. */
  #giveBackFor(code: StubCode): void {
    const at = resumePoint(this.#thread.registers);
    this.#giveBack();
    const { bytes, start } = completeStub(this.#place, code, this.#restored);
    this.#memory.write(start, bytes);
    const own = Object.fromEntries(STUB_REGISTERS.map((name) => [name, at[name]]));
    this.#thread.registers = { ...this.#restored, ...own, rip: at.rip, origRax: NO_SYSTEM_CALL };
  }

  /** The thread takes its signals where the stop found it, and may lend itself again from there. */
  #giveBack(): void {
    this.#thread.registers = this.#found;
    takeSignals(this.#thread);
    this.#found = this.#thread.registers;
    this.#restored = resumePoint(this.#found);
  }
}

/** Lets a thread that was stopped for a signal begin its handler; other signals may be waiting behind it. */
function takeSignals(thread: StoppedThread): void {
  while (thread.takeSignal().kind === 'signal');
}

/** What calls of ours fail for in a process that is at one of its limits. Source: mmap(2), memfd_create(2). */
const REASONS: Readonly<Record<string, string>> = {
  ENOMEM: 'it may have no more memory or mappings: RLIMIT_AS, or vm.max_map_count',
  EAGAIN: 'it locks all its memory, and may lock no more: RLIMIT_MEMLOCK',
  EMFILE: 'it may have no more open files: RLIMIT_NOFILE',
  ENFILE: 'the system may have no more open files',
};

function failure({ name, wanted }: RemoteCall, result: bigint): ProcessError {
  if (result < 0n) {
    const errno = Number(-result);
    const why = REASONS[errnoName(errno)];
    return new ProcessError('PROCESS_CALL_FAILED', `cannot have the process call ${name}: ${errnoName(errno)}`, {
      cause: new SysError(name, errno),
      ...(why !== undefined && { why }),
    });
  }
  const [returned, expected] = [result, wanted ?? 0n].map((value) => `0x${value.toString(16)}`);
  return new ProcessError(
    'PROCESS_CALL_FAILED',
    `cannot have the process call ${name}: it returned ${returned}, wanted ${expected}`,
  );
}
