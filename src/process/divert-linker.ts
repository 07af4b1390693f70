/**
 * Leads a new program past a gate of ours, behind the work of its dynamic linker. glibc's linker begins with a call and goes on behind
 * it when all is mapped and relocated, to constructors first: it gets another address to return to. Other linkers (musl) leave
 * constructors to the program: they are told another entry. Source: RTLD_START in glibc sysdeps/x86_64/dl-machine.h; musl
 * ldso/dynlink.c; the stack of a new program: System V ABI, AMD64, 3.4.1.
 */
import { viewOf } from '../bytes/struct.ts';
import { findEntryWord } from '../sys/auxiliary-vector.ts';
import { readMaps } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { readRegisters, UserRegs, writeRegisters } from '../sys/ptrace.ts';
import { makeStartGate, type StartGate } from './start-gate.ts';
import { findStubPlace } from './stub-place.ts';

/** A gate that a thread will come to. */
export interface LaidGate extends StartGate {
  /** Where it is going. */
  readonly goOn: bigint;
}

/**
 * Lays a gate for a program that stands at its exec stop and has a linker.
 *
 * @throws {ProcessError} PROCESS_NO_ROOM
 */
export function divertLinker(pid: number, memory: ProcessMemory): LaidGate {
  const place = findStubPlace(readMaps(pid), memory, () => true);
  const registers = UserRegs.read(readRegisters(pid));
  const { rip, rsp } = registers;
  const call = readLinkerStart(memory.readUpTo(rip, START_SIZE), rip);
  if (call === undefined) {
    const entry = findEntryWord(memory, rsp);
    const gate = makeStartGate(place, entry.value, entry);
    memory.write(gate.start, gate.bytes);
    memory.write(entry.address, wordOf(gate.start));
    return { ...gate, goOn: entry.value };
  }
  const gate = makeStartGate(place, call.returnsTo);
  memory.write(gate.start, gate.bytes);
  memory.write(rsp - 8n, wordOf(gate.start));
  // As if it had made the call itself: only the last of these leads it anywhere.
  writeRegisters(pid, { ...registers, rdi: rsp, rsp: rsp - 8n, rip: call.callee });
  return { ...gate, goOn: call.returnsTo };
}

const ENDBR64 = [0xf3, 0x0f, 0x1e, 0xfa];
/** mov rdi, rsp; call rel32 */
const CALLS = [0x48, 0x89, 0xe7, 0xe8];
const DISTANCE_SIZE = 4;
/** mov r12, rax: what was returned is where the program is entered. */
const RETURNED = [0x49, 0x89, 0xc4];
const START_SIZE = ENDBR64.length + CALLS.length + DISTANCE_SIZE + RETURNED.length;

/** The call at the beginning of a linker that returns, undefined if this is another. @param code what lies at `address` */
export function readLinkerStart(
  code: Uint8Array,
  address: bigint,
): { readonly callee: bigint; readonly returnsTo: bigint } | undefined {
  const begins = hasAt(code, 0, ENDBR64) ? ENDBR64.length : 0;
  const distanceAt = begins + CALLS.length;
  const behind = distanceAt + DISTANCE_SIZE;
  if (!hasAt(code, begins, CALLS) || !hasAt(code, behind, RETURNED)) return undefined;
  const returnsTo = address + BigInt(behind);
  return { callee: returnsTo + BigInt(viewOf(code).getInt32(distanceAt, true)), returnsTo };
}

function hasAt(code: Uint8Array, offset: number, wanted: readonly number[]): boolean {
  return wanted.every((byte, n) => code[offset + n] === byte);
}

function wordOf(value: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.of(value).buffer);
}
