/** Why a process could not be entered, or something in it not found. */
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const PROCESS_ERRORS = {
  PROCESS_NOT_FOUND: 'there is no process of that number',
  PROCESS_NOT_A_PROCESS: 'the number belongs to a thread of a process, or can belong to neither',
  PROCESS_SELF: 'a process cannot enter itself',
  PROCESS_NOT_STARTED: 'the program is not there, cannot be executed, or ended before it began',
  PROCESS_EXITED: 'the process has ended, or is a zombie',
  PROCESS_EXECED: 'the process replaced its program while it was being entered',
  PROCESS_KERNEL_THREAD: 'kernel threads have no memory of their own',
  PROCESS_WRONG_ARCH: 'only 64-bit x86 programs can be entered',
  PROCESS_PERMISSION: 'the kernel does not let this user trace the process',
  PROCESS_TRACED: 'another program traces the process: only one can',
  PROCESS_TRACES_US: 'the process is the tracer of this one: each would wait for the other',
  PROCESS_FROZEN: 'the control group of the process is frozen: its threads execute nothing',
  PROCESS_BUSY: 'another controller is at work in the process, and does not come to an end',
  PROCESS_SECCOMP: 'seccomp may kill the process for the system calls that entering it needs',
  PROCESS_STOP_TIMEOUT: 'a thread could not be stopped in time; every other one was let go again',
  PROCESS_MEMORY: 'memory of the process could not be read or written',
  PROCESS_NO_ROOM: 'no executable mapping of the process has room for the code that makes its system calls',
  PROCESS_CALL_FAILED: 'a system call made by the process on our behalf failed',
  PROCESS_MODULE_NOT_FOUND: 'no library or executable of that name is mapped',
  PROCESS_MODULE_UNREADABLE: 'the file a module was mapped from cannot be opened, or is not that file any more',
  PROCESS_SYMBOL_NOT_FOUND: 'the module defines no such function',
  PROCESS_SYMBOL_AMBIGUOUS: 'several functions of the module have that name, with different parameters',
  PROCESS_IFUNC_UNRESOLVED: 'the symbol names a resolver, and nothing in the process tells what it resolved to',
} as const;

export type ProcessErrorCode = keyof typeof PROCESS_ERRORS;

export class ProcessError extends BpfError {
  override readonly name = 'ProcessError';
  override readonly code: ProcessErrorCode;

  constructor(code: ProcessErrorCode, message: string, options?: BpfErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** True for a ProcessError with one of `codes`. */
export function isProcessError(error: unknown, ...codes: readonly ProcessErrorCode[]): error is ProcessError {
  return error instanceof ProcessError && codes.includes(error.code);
}
