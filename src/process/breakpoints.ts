/** Breakpoints in a child that has one thread, is traced by us and has not begun: int3 over a byte, put back later. */
import { constants } from 'node:os';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { readRegisters, resume, step, UserRegs, writeRegisters } from '../sys/ptrace.ts';
import { awaitEvent, type WaitEvent } from '../sys/wait.ts';

const { SIGTRAP } = constants.signals;
const INT3 = 0xcc;

/** Dispose of it while the child stands still: every byte is what it was then. */
export class Breakpoints implements Disposable {
  readonly #pid: number;
  readonly #memory: ProcessMemory;
  readonly #bytes = new Map<bigint, Uint8Array>();

  constructor(pid: number, memory: ProcessMemory) {
    this.#pid = pid;
    this.#memory = memory;
  }

  /** A second time does nothing. @throws {SysError} SYS_EIO if nothing is mapped there */
  add(address: bigint): void {
    if (this.#bytes.has(address)) return;
    this.#bytes.set(address, this.#memory.read(address, 1));
    this.#memory.write(address, Uint8Array.of(INT3));
  }

  /**
   * Lets the thread run to one of them: its instruction pointer is there then. Undefined if it ended before.
   *
   * @throws {SysError}
   */
  run(): bigint | undefined {
    for (let signal = 0; ; ) {
      resume(this.#pid, signal);
      const event = awaitReport(this.#pid);
      if (event.kind === 'ended') return undefined;
      signal = event.kind === 'signal' ? event.signal : 0;
      if (signal !== SIGTRAP) continue;
      const registers = UserRegs.read(readRegisters(this.#pid));
      const address = registers.rip - 1n;
      if (!this.#bytes.has(address)) continue;
      writeRegisters(this.#pid, { ...registers, rip: address });
      return address;
    }
  }

  /** Has the thread execute the instruction under the breakpoint where it stands; false if it ended. @throws {SysError} */
  stepOver(address: bigint): boolean {
    this.#memory.write(address, this.#bytes.get(address)!);
    step(this.#pid, 0);
    let event = awaitReport(this.#pid);
    // Asked to stop or to take a signal, it has not executed anything yet.
    while (event.kind !== 'ended' && !(event.kind === 'signal' && event.signal === SIGTRAP)) {
      step(this.#pid, event.kind === 'signal' ? event.signal : 0);
      event = awaitReport(this.#pid);
    }
    if (event.kind === 'ended') return false;
    this.#memory.write(address, Uint8Array.of(INT3));
    return true;
  }

  [Symbol.dispose](): void {
    for (const [address, byte] of this.#bytes) this.#memory.write(address, byte);
    this.#bytes.clear();
  }
}

/** Waits for what a traced thread reports, however long. @throws {SysError} SYS_ECHILD */
export function awaitReport(tid: number): WaitEvent {
  for (;;) {
    const event = awaitEvent(tid);
    if (event !== undefined) return event;
  }
}
