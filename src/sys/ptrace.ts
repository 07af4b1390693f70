/**
 * ptrace(2), the requests that seizing without signals needs.
 * Source: ptrace(2); include/uapi/linux/ptrace.h; arch/x86/include/asm/user_64.h.
 */
import { struct } from '../bytes/struct.ts';
import { SysError } from './errors.ts';
import { tryLibc } from './libc.ts';

/** struct user_regs_struct: what GETREGS and SETREGS carry. orig_rax is the system call a thread is in, or -1. */
export const UserRegs = struct('user_regs_struct', 216, {
  r15: 'u64',
  r14: 'u64',
  r13: 'u64',
  r12: 'u64',
  rbp: 'u64',
  rbx: 'u64',
  r11: 'u64',
  r10: 'u64',
  r9: 'u64',
  r8: 'u64',
  rax: 'u64',
  rcx: 'u64',
  rdx: 'u64',
  rsi: 'u64',
  rdi: 'u64',
  origRax: 'u64',
  rip: 'u64',
  cs: 'u64',
  eflags: 'u64',
  rsp: 'u64',
  ss: 'u64',
  fsBase: 'u64',
  gsBase: 'u64',
  ds: 'u64',
  es: 'u64',
  fs: 'u64',
  gs: 'u64',
});

/** The registers of a stopped thread. */
export type Registers = ReturnType<typeof UserRegs.read>;

/** What ptrace(2) is asked for, by number. */
export const REQUESTS = {
  PTRACE_CONT: 7,
  PTRACE_GETREGS: 12,
  PTRACE_SETREGS: 13,
  PTRACE_DETACH: 17,
  PTRACE_SYSCALL: 24,
  PTRACE_SETOPTIONS: 0x4200,
  PTRACE_GETEVENTMSG: 0x4201,
  PTRACE_SEIZE: 0x4206,
  PTRACE_INTERRUPT: 0x4207,
} as const;

/** Options of `seize`, to be or-ed. Never EXITKILL: whatever becomes of us, the target goes on. */
export const TraceOption = {
  /** Stops at system calls are no signals: if we die at one, none is left to the thread. */
  SYSTEM_CALLS: 0x1,
  /** New threads are traced from their first instruction. */
  CLONE: 0x8,
  EXEC: 0x10,
  /** The target's seccomp filters sleep while it is traced; needs CAP_SYS_ADMIN. */
  SUSPEND_SECCOMP: 0x20_0000,
} as const;

/** Begins to trace a thread without stopping it. @throws {SysError} SYS_ESRCH if gone, SYS_EPERM */
export function seize(tid: number, options: number): void {
  request('PTRACE_SEIZE', tid, options);
}

/** Gives a stopped thread other options than it was seized with. @throws {SysError} SYS_ESRCH, SYS_EPERM */
export function setOptions(tid: number, options: number): void {
  request('PTRACE_SETOPTIONS', tid, options);
}

/** Asks a seized thread to stop; the stop arrives through `waitForStop`. @throws {SysError} SYS_ESRCH */
export function interrupt(tid: number): void {
  request('PTRACE_INTERRUPT', tid);
}

/** Lets a stopped thread run, delivering `signal` unless 0. @throws {SysError} SYS_ESRCH */
export function resume(tid: number, signal: number): void {
  request('PTRACE_CONT', tid, signal);
}

/** Lets a stopped thread run to where it begins or ends a system call, delivering `signal` unless 0. @throws {SysError} SYS_ESRCH */
export function resumeToCall(tid: number, signal: number): void {
  request('PTRACE_SYSCALL', tid, signal);
}

/** Ends tracing of a stopped thread, delivering `signal` unless 0. @throws {SysError} SYS_ESRCH */
export function detach(tid: number, signal: number): void {
  request('PTRACE_DETACH', tid, signal);
}

/** Reads the bytes of UserRegs, into `bytes` if given. @throws {SysError} SYS_ESRCH unless the thread is stopped */
export function readRegisters(tid: number, bytes: Uint8Array = new Uint8Array(UserRegs.size)): Uint8Array {
  request('PTRACE_GETREGS', tid, bytes);
  return bytes;
}

/** @throws {SysError} SYS_ESRCH unless the thread is stopped */
export function writeRegisters(tid: number, registers: Registers): void {
  const bytes = new Uint8Array(UserRegs.size);
  UserRegs.write(bytes, 0, registers);
  request('PTRACE_SETREGS', tid, bytes);
}

/** The number that came with the last ptrace event: for CLONE the new thread's id. */
export function readEventMessage(tid: number): number {
  const message = new BigUint64Array(1);
  request('PTRACE_GETEVENTMSG', tid, message);
  return Number(message[0]);
}

function request(name: keyof typeof REQUESTS, tid: number, data: number | ArrayBufferView = 0): void {
  const result = tryLibc(
    'ptrace',
    REQUESTS[name],
    tid,
    0,
    data === 0 ? null : typeof data === 'number' ? BigInt(data) : data,
  );
  if (result < 0) throw new SysError(`ptrace(${name}, ${tid})`, -result);
}
