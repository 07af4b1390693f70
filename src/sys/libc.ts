/**
 * The calls into the C library, by FFI: the only place that knows koffi.
 * koffi is loaded, and each function bound, when it is first called. All calls but one are synchronous: ptrace belongs to one OS
 * thread, and koffi's asynchronous calls run on others.
 */
import { createRequire } from 'node:module';
import { SysError } from './errors.ts';

type Koffi = typeof import('koffi').default;

/** What a call may be given: a number for any integer type, bytes or an address for a pointer, texts that end in null for a vector of them. */
export type Argument = number | bigint | string | ArrayBufferView | readonly (string | null)[] | null;

/** Result and parameter types, as the manual pages have them. */
const SIGNATURES = {
  bind: ['int', ['int', 'void *', 'uint']],
  clock_getres: ['int', ['int', 'void *']],
  dlsym: ['int64', ['void *', 'str']],
  fcntl: ['int', ['int', 'int', 'int']],
  flock: ['int', ['int', 'int']],
  getsockname: ['int', ['int', 'void *', 'void *']],
  memfd_create: ['int', ['str', 'uint']],
  mmap: ['int64', ['uint64', 'size_t', 'int', 'int', 'int', 'int64']],
  munmap: ['int', ['uint64', 'size_t']],
  poll: ['int', ['void *', 'ulong', 'int']],
  posix_spawn: ['int', ['void *', 'str', 'void *', 'void *', 'const char **', 'const char **']],
  posix_spawn_file_actions_adddup2: ['int', ['void *', 'int', 'int']],
  posix_spawn_file_actions_destroy: ['int', ['void *']],
  posix_spawn_file_actions_init: ['int', ['void *']],
  posix_spawnattr_init: ['int', ['void *']],
  posix_spawnattr_setflags: ['int', ['void *', 'int16']],
  posix_spawnattr_setsigdefault: ['int', ['void *', 'void *']],
  pread: ['int64', ['int', 'void *', 'size_t', 'int64']],
  process_vm_readv: ['int64', ['int', 'uint64', 'ulong', 'uint64', 'ulong', 'ulong']],
  ptrace: ['int64', ['int64', 'int', 'uint64', 'void *']],
  pwrite: ['int64', ['int', 'void *', 'size_t', 'int64']],
  recvmsg: ['int64', ['int', 'void *', 'int']],
  sched_getscheduler: ['int', ['int']],
  sched_setscheduler: ['int', ['int', 'int', 'void *']],
  sendmsg: ['int64', ['int', 'void *', 'int']],
  sigaction: ['int', ['int', 'void *', 'void *']],
  socket: ['int', ['int', 'int', 'int']],
  syscall: ['int64', ['int64', 'int64', 'int64', 'int64', 'int64']],
  timer_create: ['int', ['int', 'void *', 'void *']],
  timer_settime: ['int', ['uint64', 'int', 'void *', 'void *']],
  usleep: ['int', ['uint']],
  waitid: ['int', ['int', 'uint', 'void *', 'int']],
  waitpid: ['int', ['int', 'void *', 'int']],
} as const satisfies Record<string, readonly [string, readonly string[]]>;

export type FunctionName = keyof typeof SIGNATURES;

const SYS_FUTEX = 202;
const FUTEX_WAIT = 0;

type Bound = (...args: readonly Argument[]) => number;

let koffi: Koffi | undefined;
let library: ReturnType<Koffi['load']> | undefined;
let futexCall: ReturnType<ReturnType<Koffi['load']>['func']> | undefined;
let bareProgram: ReturnType<Koffi['proto']> | undefined;
const bound = new Map<FunctionName, Bound>();

/**
 * Calls a function of the C library.
 *
 * @returns its result, or `-errno` where it returned -1
 */
export function tryLibc(name: FunctionName, ...args: readonly Argument[]): number {
  const result = (bound.get(name) ?? bind(name))(...args);
  return result === -1 ? -loadKoffi().errno() : result;
}

/**
 * Calls a function of the C library.
 *
 * @param what the call for the error message: 'pidfd_open(42)'
 * @throws {SysError} if it returned -1
 */
export function libc(what: string, name: FunctionName, ...args: readonly Argument[]): number {
  const result = tryLibc(name, ...args);
  if (result < 0) throw new SysError(what, -result);
  return result;
}

/**
 * Waits, on a thread of its own, until the word is woken or time is up; at once if it is not `value` any more. futex(2).
 *
 * @param word one word of memory that two processes share
 */
export function waitOnWord(word: Int32Array, value: number, milliseconds: number): Promise<void> {
  const time = BigInt64Array.of(0n, BigInt(milliseconds) * 1_000_000n);
  futexCall ??= loadLibrary().func('syscall', 'int64', ['int64', 'void *', 'int', 'int', 'void *']);
  // What comes of it, the caller sees in the memory.
  return new Promise((resolve) => futexCall!.async(SYS_FUTEX, word, FUTEX_WAIT, value, time, () => resolve()));
}

/** An ArrayBuffer over `size` bytes of this process's own memory. Dear: make it once and keep it. */
export function viewOfMemory(address: number, size: number): ArrayBuffer {
  return loadKoffi().view(BigInt(address), size);
}

/** Calls the code at `address` as `uint64_t f(void *memory, uint64_t size)`; no memory is a null pointer. */
export function callAt(address: bigint, memory: Uint8Array): bigint {
  bareProgram ??= loadKoffi().proto('uint64 remora_bare_program(void *memory, uint64 size)');
  return BigInt(loadKoffi().call(address, bareProgram, memory.length === 0 ? null : memory, memory.length));
}

function bind(name: FunctionName): Bound {
  const [result, parameters] = SIGNATURES[name];
  const call = loadLibrary().func(name, result, [...parameters]) as Bound;
  bound.set(name, call);
  return call;
}

function loadLibrary(): ReturnType<Koffi['load']> {
  library ??= loadKoffi().load(null);
  return library;
}

function loadKoffi(): Koffi {
  koffi ??= createRequire(import.meta.url)('koffi') as Koffi;
  return koffi;
}
