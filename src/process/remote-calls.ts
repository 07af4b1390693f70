/**
 * System calls made by a thread of the target on our behalf. See call-stub.ts for why the target survives us at any point.
 */
import { errnoName, isSysError, SysError } from '../sys/errors.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import type { Registers } from '../sys/ptrace.ts';
import type { WaitEvent } from '../sys/wait.ts';
import { makeStub, STUB_NAME, STUB_SIZE, StubEntry } from './call-stub.ts';
import { ProcessError } from './errors.ts';
import { NO_SYSTEM_CALL, resumePoint } from './resume-point.ts';
import type { StoppedThread } from './stopped-thread.ts';
import { SystemCall, type SystemCallName } from './system-calls.ts';

/** Registers that carry the arguments of a system call. */
const ARGUMENTS = ['rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'] as const satisfies (keyof Registers)[];

/** Errors are results from -4095 to -1. */
const LOWEST_ERROR = -4095n;

/** A thread lent to us. Dispose of it before it is let go: then it is where it was, and the stub is gone. */
export class RemoteCalls implements Disposable {
  readonly #thread: StoppedThread;
  readonly #memory: ProcessMemory;
  readonly #at: bigint;
  /** The registers as the stop found them, and as the thread is to go on with. */
  #found: Registers;
  #restored: Registers;

  /**
   * @param thread one that is stopped, not inside a system call that goes on
   * @param at where STUB_SIZE bytes of an executable mapping are free
   */
  constructor(thread: StoppedThread, memory: ProcessMemory, at: bigint) {
    this.#thread = thread;
    this.#memory = memory;
    this.#at = at;
    if (thread.signal !== 0) takeSignals(thread);
    this.#found = thread.registers;
    this.#restored = this.#layStub();
  }

  /** The thread that was lent. */
  get tid(): number {
    return this.#thread.tid;
  }

  /** The registers the thread goes on with. */
  get registers(): Registers {
    return this.#restored;
  }

  /** Address of the text 'remora' in the target, for calls that want a name. */
  get nameAddress(): bigint {
    return this.#at + BigInt(STUB_NAME);
  }

  /** @throws {ProcessError} PROCESS_CALL_FAILED if the result is an error, PROCESS_EXITED */
  call(name: SystemCallName, ...args: readonly (number | bigint)[]): bigint {
    return this.#call(StubEntry.PLAIN, name, args);
  }

  /** A call that returns a descriptor: it is closed again should we die before the next call. */
  createFile(name: SystemCallName, ...args: readonly (number | bigint)[]): bigint {
    return this.#call(StubEntry.CREATES_FILE, name, args);
  }

  /** A call whose fifth argument is that descriptor: mmap. It is closed should we die before the next call. */
  callWithFile(name: SystemCallName, ...args: readonly (number | bigint)[]): bigint {
    return this.#call(StubEntry.HAS_FILE, name, args);
  }

  [Symbol.dispose](): void {
    // In a call that does not come back: the stub brings it back later, and stays.
    if (this.#thread.isRunning) return;
    try {
      this.#thread.registers = this.#restored;
      this.#memory.write(this.#at, new Uint8Array(STUB_SIZE));
    } catch (error) {
      const hasEnded =
        isSysError(error, 'SYS_EIO') || (error instanceof ProcessError && error.code === 'PROCESS_EXITED');
      if (!hasEnded) throw error;
    }
  }

  #layStub(): Registers {
    const restored = resumePoint(this.#found);
    this.#memory.write(this.#at, makeStub(restored));
    return restored;
  }

  #call(entry: number, name: SystemCallName, args: readonly (number | bigint)[]): bigint {
    this.#arm(entry, name, args);
    for (let entered = false; ; ) {
      const event = this.#thread.runTo('system-call');
      if (event.kind === 'system-call') {
        if (entered) return checked(name, BigInt.asIntN(64, this.#thread.registers.rax));
        entered = true;
      } else if (event.kind === 'signal') {
        this.#giveBack();
        this.#arm(entry, name, args);
      } else if (event.kind === 'exec') {
        throw new ProcessError('PROCESS_EXECED', `cannot have ${name} called: the process replaced its program`);
      }
      // Anything else is a stop of the whole process: it takes effect when the thread is let go.
    }
  }

  #arm(entry: number, name: SystemCallName, args: readonly (number | bigint)[]): void {
    const values = Object.fromEntries(args.map((arg, i) => [ARGUMENTS[i], BigInt.asUintN(64, BigInt(arg))]));
    this.#thread.registers = {
      ...this.#restored,
      ...values,
      rip: this.#at + BigInt(entry),
      rax: BigInt(SystemCall[name]),
      origRax: NO_SYSTEM_CALL,
    };
  }

  /** A signal came before the call: the thread takes it where the stop found it, then lends itself again from there. */
  #giveBack(): void {
    this.#thread.registers = this.#found;
    takeSignals(this.#thread);
    this.#found = this.#thread.registers;
    this.#restored = this.#layStub();
  }
}

/** Lets a thread that was stopped for a signal begin its handler; other signals may be waiting behind it. */
function takeSignals(thread: StoppedThread): void {
  let event: WaitEvent;
  do event = thread.runTo('signal');
  while (event.kind === 'signal');
}

function checked(name: SystemCallName, result: bigint): bigint {
  if (result >= 0n || result < LOWEST_ERROR) return result;
  const errno = Number(-result);
  throw new ProcessError('PROCESS_CALL_FAILED', `cannot have the process call ${name}: ${errnoName(errno)}`, {
    cause: new SysError(name, errno),
  });
}
