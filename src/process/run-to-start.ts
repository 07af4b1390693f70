/**
 * Where a new program is entered: before its first instruction if it is static, before the first constructor of its
 * libraries otherwise, when they are mapped and relocated. Until it stands there none of its code is changed: what leads it past our
 * gate (start-gate.ts) is data, and it goes on by itself should we die.
 */
import { viewOf } from '../bytes/struct.ts';
import { readAuxiliaryVector } from '../sys/auxiliary-vector.ts';
import { ProcessMemory } from '../sys/process-memory.ts';
import {
  interrupt,
  readRegisters,
  resume,
  resumeToCall,
  setOptions,
  TraceOption,
  UserRegs,
  writeRegisters,
} from '../sys/ptrace.ts';
import { awaitReport } from '../sys/wait.ts';
import { divertLinker } from './divert-linker.ts';
import { behindGate, PUSHED_SIZE, type StartGate } from './start-gate.ts';

/**
 * Lets a child run from its exec stop to where it is to be entered; false if it ended before that.
 *
 * @throws {SysError | ProcessError}
 */
export function runToStart(pid: number): boolean {
  if (readAuxiliaryVector(pid).linkerBase === 0n) return true;
  using memory = new ProcessMemory(pid);
  setOptions(pid, TraceOption.EXEC | TraceOption.SYSTEM_CALLS);
  const gate = divertLinker(pid, memory);
  if (!runToGate(pid, gate)) return false;
  const registers = UserRegs.read(readRegisters(pid));
  writeRegisters(pid, behindGate(registers, memory.read(registers.rsp, PUSHED_SIZE), gate.goOn));
  // Only now: until then it would have gone on through it.
  memory.write(gate.start, new Uint8Array(gate.bytes.length));
  return leaveCall(pid);
}

/** Lets it run until it has made the call of the gate; false if it ended. */
function runToGate(pid: number, { calls }: StartGate): boolean {
  let hasBegun = false;
  for (let signal = 0; ; ) {
    resumeToCall(pid, signal);
    const event = awaitReport(pid);
    if (event.kind === 'ended') return false;
    signal = event.kind === 'signal' ? event.signal : 0;
    if (event.kind !== 'system-call' || instructionPointer(pid) !== calls) continue;
    if (hasBegun) return true;
    hasBegun = true;
  }
}

/** Of a thread at one of many stops: the other registers are not decoded. */
function instructionPointer(pid: number): bigint {
  return viewOf(readRegisters(pid)).getBigUint64(UserRegs.offsetOf.rip, true);
}

/** From the end of a system call to a stop like any other, without an instruction in between; false if it ended. */
function leaveCall(pid: number): boolean {
  interrupt(pid);
  for (let signal = 0; ; ) {
    resume(pid, signal);
    const event = awaitReport(pid);
    // If its whole group is stopped meanwhile, that is what it stands at; it is again when we let it go.
    if (event.kind === 'trap' || event.kind === 'group-stop') break;
    if (event.kind === 'ended') return false;
    signal = event.kind === 'signal' ? event.signal : 0;
  }
  setOptions(pid, TraceOption.EXEC);
  return true;
}
