/**
 * The code through which a thread of the target makes system calls for us, several in one go. Pure: bytes in, bytes out.
 *
 * Registers of a stopped thread are set so that it runs the calls of the stub and then waits, at most WAIT_SECONDS, for us to
 * take it back. Behind the wait stands code that closes the file a call may have made, puts every register back and jumps to
 * where the thread was: if we are killed, at any point, the kernel lets the thread run and it comes back by itself.
 *
 *     | calls, each ends the run if it fails | jmp wait | zeros | wait | close | restore | data |
 *                                                               '---- the same in every stub ----'
 *
 * It ends in plain moves rather than rt_sigreturn: that would need a frame with the vector state on the target's stack and
 * would cancel the restart of an interrupted sleep. For that reason too it waits in rt_sigtimedwait, which has no such restart.
 * No instruction of it changes a flag (hence `not`, `cqo` and `jrcxz`), and the stack is not touched, so a signal may come at
 * any of them.
 */
import { Assembler } from '../arch/x64/assembler.ts';
import { absolute, at, indexed } from '../arch/x64/memory.ts';
import { Reg } from '../arch/x64/registers.ts';
import { viewOf } from '../bytes/struct.ts';
import type { Registers } from '../sys/ptrace.ts';
import { SystemCall, type SystemCallName } from './system-calls.ts';

/**
 * What an argument may be: a number, the file that a call of this loan made, the address of the text 'remora', or what the four
 * bytes at an address hold by then.
 */
export type CallArgument = number | bigint | 'file' | 'name' | { readonly at: bigint };

/** A system call to be made. It has failed if its result is negative. */
export interface RemoteCall {
  readonly name: SystemCallName;
  readonly args: readonly CallArgument[];
  /** Any other result is a failure too. */
  readonly wanted?: bigint;
}

/** Where a stub lies: at the end of `capacity` free bytes of an executable mapping. */
export interface StubPlace {
  readonly end: bigint;
  readonly capacity: number;
}

/** A stub and what of it is asked of whom. */
export interface CallStub {
  readonly bytes: Uint8Array;
  /** Address of its first byte, where the thread is to begin. */
  readonly start: bigint;
  /** How many of the calls found room. */
  readonly count: number;
}

/** How long a thread waits to be taken back: longer than we can be kept from it, short enough if we are not there any more. */
const WAIT_SECONDS = 1n;
/** After this long, with a margin, a thread that nobody takes back has left the stub; in microseconds. */
export const STUB_WAIT_US = 1_100_000;

/** Registers that carry the arguments of a system call. */
const ARGUMENTS = [Reg.RDI, Reg.RSI, Reg.RDX, Reg.R10, Reg.R8, Reg.R9];

/** What the stub changes, and may be asked for when the thread waits. */
export const STUB_REGISTERS = [
  ...(['rax', 'rcx', 'r11', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9', 'rbx', 'rbp', 'r12'] as const),
] satisfies (keyof Registers)[];

const NUMBERS = [
  ...[Reg.RAX, Reg.RCX, Reg.R11, Reg.RDI, Reg.RSI, Reg.RDX, Reg.R10, Reg.R8, Reg.R9, Reg.RBX, Reg.RBP, Reg.R12],
];

/** The file in rbx, -1 for none; in rbp the number of the call that failed or of all; in r12 the last result. */
const [FILE, COUNT, RESULT] = [Reg.RBX, Reg.RBP, Reg.R12];

/** No file: what the stub begins with. */
export const NO_FILE = 0xffff_ffffn;

const SYS_CLOSE = BigInt(SystemCall.close);
const SYS_RT_SIGTIMEDWAIT = 128n;
const SIGSET_SIZE = 8n;
const NEAR_JUMP_SIZE = 5;

/** Its data, behind the code: the registers, where to go on, how long to wait, how large the stub is, the name. */
const RESTORED_AT = 0;
const TARGET_AT = STUB_REGISTERS.length * 8;
const TIMEOUT_AT = TARGET_AT + 8;
/** The nanoseconds of the timeout are zero, and so is the set of signals waited for. */
const EMPTY_SET_AT = TIMEOUT_AT + 8;
const SIZE_AT = EMPTY_SET_AT + 8;
const NAME_AT = SIZE_AT + 8;
const DATA_SIZE = NAME_AT + 8;

const NAME = 'remora\0';

/** The code at the end of every stub. It needs no address of its own. */
const { code: TAIL, waits: WAITS_AT } = makeTail();

/** Bytes of the end that all stubs have, data included. */
const END_SIZE = TAIL.length + DATA_SIZE;

/** Room for one call of any kind, and for all that a session begins with. */
export const STUB_CAPACITY = { LEAST: 384, WANTED: 576 } as const;

/** How far before its end a thread of the stub that waits for us has its instruction pointer. */
export function waitingAddress({ end }: StubPlace): bigint {
  return end - BigInt(END_SIZE - WAITS_AT);
}

/** The stub that makes as many of `calls` as there is room for, and puts a thread back to `registers`. */
export function makeStub(place: StubPlace, registers: Registers, calls: readonly RemoteCall[]): CallStub {
  return completeStub(place, assembleStub(place, calls), registers);
}

/** What of a stub is known before the thread is that it is for. */
export type StubCode = Pick<CallStub, 'bytes' | 'count'>;

/** The code that makes as many of `calls` as there is room for. */
export function assembleStub({ end, capacity }: StubPlace, calls: readonly RemoteCall[]): StubCode {
  const start = end - BigInt(capacity);
  const bytes = new Uint8Array(capacity);
  const tail = end - BigInt(END_SIZE);
  let used = 0;
  let count = 0;
  for (const call of calls) {
    const code = emitCall(call, count, start + BigInt(used), end);
    if (used + code.length + leaveSize(count + 1) > capacity - END_SIZE) break;
    bytes.set(code, used);
    used += code.length;
    count++;
  }
  bytes.set(emitLeave(count, start + BigInt(used), tail), used);
  bytes.set(TAIL, capacity - END_SIZE);
  return { bytes, count };
}

/** The same as a stub that puts a thread back to `registers`. */
export function completeStub(
  { end, capacity }: StubPlace,
  { bytes: code, count }: StubCode,
  registers: Registers,
): CallStub {
  const bytes = code.slice();
  writeData(bytes.subarray(capacity - DATA_SIZE), registers, capacity);
  return { bytes, start: end - BigInt(capacity), count };
}

/** A stub that makes no calls for us but holds code of another kind, so that it is found and taken away like any other. */
export function stubAround(code: Uint8Array, { capacity }: StubPlace, goOn: bigint): Uint8Array {
  const bytes = new Uint8Array(capacity);
  bytes.set(code);
  bytes.set(TAIL, capacity - END_SIZE);
  const data = viewOf(bytes.subarray(capacity - DATA_SIZE));
  data.setBigUint64(TARGET_AT, goOn, true);
  data.setBigUint64(SIZE_AT, BigInt(capacity), true);
  return bytes;
}

/** Address of the word of a stub that says where a thread is to go on. */
export function targetCell({ end }: StubPlace): bigint {
  return end - BigInt(DATA_SIZE - TARGET_AT);
}

/** How many bytes, up to the end of `bytes`, are those of a stub, whoever left it; undefined if it is none. */
export function stubSize(bytes: Uint8Array): number | undefined {
  const end = bytes.subarray(bytes.length - END_SIZE);
  if (!TAIL.every((byte, n) => byte === end[n])) return undefined;
  const size = Number(viewOf(end).getBigUint64(TAIL.length + SIZE_AT, true));
  return size >= END_SIZE && size <= bytes.length ? size : undefined;
}

/** What the registers of a thread that waits in the stub tell. */
export function readOutcome({ rbx, rbp, r12 }: Registers): {
  readonly file: bigint;
  readonly count: number;
  readonly result: bigint;
} {
  return { file: rbx, count: Number(rbp), result: BigInt.asIntN(64, r12) };
}

function writeData(data: Uint8Array, registers: Registers, size: number): void {
  const view = viewOf(data);
  STUB_REGISTERS.forEach((name, n) => {
    view.setBigUint64(RESTORED_AT + n * 8, registers[name], true);
  });
  view.setBigUint64(TARGET_AT, registers.rip, true);
  view.setBigUint64(TIMEOUT_AT, WAIT_SECONDS, true);
  view.setBigUint64(SIZE_AT, BigInt(size), true);
  data.set(Buffer.from(NAME, 'latin1'), NAME_AT);
}

/** One call, and the way out should it fail. */
function emitCall({ name, args, wanted }: RemoteCall, number: number, origin: bigint, end: bigint): Uint8Array {
  const a = new Assembler(origin);
  a.movImm(COUNT, BigInt(number));
  args.forEach((arg, n) => {
    const register = ARGUMENTS[n]!;
    if (arg === 'file') a.mov(register, FILE, 4);
    else if (arg === 'name') a.lea(register, absolute(end - BigInt(DATA_SIZE - NAME_AT)));
    else if (typeof arg === 'object') {
      a.movImm(register, arg.at);
      a.mov(register, at(register), 4);
    } else a.movImm(register, BigInt(arg));
  });
  a.movImm(Reg.RAX, BigInt(SystemCall[name]));
  a.syscall();
  if (wanted === undefined) {
    a.cqo();
    a.mov(Reg.RCX, Reg.RDX);
  } else {
    a.movImm(Reg.RCX, -wanted);
    a.lea(Reg.RCX, indexed(Reg.RAX, Reg.RCX, 1));
  }
  a.raw(jrcxz(NEAR_JUMP_SIZE));
  a.jmpTo(end - BigInt(END_SIZE));
  if (name === 'memfd_create' || name === 'socket') a.mov(FILE, Reg.RAX, 4);
  if (name === 'close' && args[0] === 'file') a.movImm(FILE, NO_FILE);
  return a.finish();
}

/** All calls were made. */
function emitLeave(count: number, origin: bigint, tail: bigint): Uint8Array {
  const a = new Assembler(origin);
  a.movImm(COUNT, BigInt(count));
  a.jmpTo(tail);
  return a.finish();
}

function leaveSize(count: number): number {
  return emitLeave(count, 0n, 0n).length;
}

function makeTail(): { readonly code: Uint8Array; readonly waits: number } {
  // Twice: how long it is decides where its data lie.
  const size = assembleTail(0n).code.length;
  return assembleTail(BigInt(size));
}

function assembleTail(data: bigint): { readonly code: Uint8Array; readonly waits: number } {
  const a = new Assembler(0n);
  a.mov(RESULT, Reg.RAX);
  a.lea(Reg.RDI, absolute(data + BigInt(EMPTY_SET_AT)));
  a.movImm(Reg.RSI, 0n);
  a.lea(Reg.RDX, absolute(data + BigInt(TIMEOUT_AT)));
  a.movImm(Reg.R10, SIGSET_SIZE);
  a.movImm(Reg.RAX, SYS_RT_SIGTIMEDWAIT);
  a.syscall();
  const waits = a.size;
  const close = new Assembler(0n);
  close.mov(Reg.RDI, FILE, 4);
  close.movImm(Reg.RAX, SYS_CLOSE);
  close.syscall();
  a.mov(Reg.RCX, FILE, 4);
  a.group3('not', Reg.RCX, 4);
  a.raw(jrcxz(close.size));
  a.raw(close.finish());
  NUMBERS.forEach((register, n) => {
    a.mov(register, absolute(data + BigInt(RESTORED_AT + n * 8)));
  });
  a.jmpIndirect(absolute(data + BigInt(TARGET_AT)));
  return { code: a.finish(), waits };
}

/** jrcxz: jumps over `distance` bytes if rcx is zero, and asks no flag */
function jrcxz(distance: number): Uint8Array {
  return Uint8Array.of(0xe3, distance);
}
