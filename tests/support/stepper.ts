/**
 * Takes one thread of a target through its code an instruction at a time and leaves it where a test wants it: an engineer's
 * debugger, in a few lines. While it holds a thread nobody else can trace the process.
 */
import { constants } from 'node:os';
import { libc } from '../../src/sys/libc.ts';
import { detach, interrupt, readRegisters, seize, UserRegs } from '../../src/sys/ptrace.ts';
import { decodeStatus } from '../../src/sys/wait.ts';

const PTRACE_SINGLESTEP = 9;
const WALL = 0x4000_0000;
const { SIGSTOP, SIGTRAP } = constants.signals;

export class Stepper implements Disposable {
  readonly #tid: number;
  #isHeld = true;

  /** Stops a running thread. */
  constructor(tid: number) {
    this.#tid = tid;
    seize(tid, 0);
    interrupt(tid);
    this.#awaitStop();
  }

  /** The address of the next instruction. */
  get rip(): bigint {
    return UserRegs.read(readRegisters(this.#tid)).rip;
  }

  /** Runs one instruction. @returns where the thread is then */
  step(): bigint {
    libc('ptrace(PTRACE_SINGLESTEP)', 'ptrace', PTRACE_SINGLESTEP, this.#tid, 0, 0n);
    const event = this.#awaitStop();
    if (event.kind !== 'signal' || event.signal !== SIGTRAP) throw new Error(`it stopped by ${JSON.stringify(event)}`);
    return this.rip;
  }

  /** Steps until the next instruction is one that `isThere` names. @returns its address */
  stepTo(isThere: (rip: bigint) => boolean): bigint {
    for (let steps = 0; steps < 10_000; steps++) {
      const rip = this.step();
      if (isThere(rip)) return rip;
    }
    throw new Error('10,000 instructions did not lead there');
  }

  /** Lets the thread go from where it is, with a signal unless 0. */
  leave(signal = 0): void {
    this.#isHeld = false;
    detach(this.#tid, signal);
  }

  /** Lets it go but stands still where it is, with all other threads, until a SIGCONT comes. */
  park(): void {
    this.leave(SIGSTOP);
  }

  [Symbol.dispose](): void {
    if (this.#isHeld) this.leave();
  }

  #awaitStop() {
    const status = new Int32Array(1);
    libc(`waitpid(${this.#tid})`, 'waitpid', this.#tid, status, WALL);
    const event = decodeStatus(status[0]!);
    if (event.kind === 'ended') throw new Error('the thread has ended');
    return event;
  }
}
