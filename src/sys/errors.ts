/** Why calls to the operating system fail: its own error numbers under stable codes. */
import { constants } from 'node:os';
import { BpfError, type BpfErrorOptions } from '../errors.ts';

/** Error codes of this folder; the values are the lines the docs print. */
export const SYS_ERRORS = {
  SYS_EACCES: 'the file or process may not be opened this way',
  SYS_EAGAIN: 'a resource is short for the moment',
  SYS_EBADF: 'the file descriptor is not open',
  SYS_ECHILD: 'the thread is not traced by this process, or is gone',
  SYS_EEXIST: 'the place is taken',
  SYS_EFAULT: 'no memory at the address',
  SYS_EINVAL: 'the kernel does not know such a request, or its arguments are wrong',
  SYS_EIO: 'memory could not be read or written, or the request does not fit the state of the thread',
  SYS_EMFILE: 'this process has too many open files',
  SYS_ENOENT: 'no such file',
  SYS_ENOMEM: 'out of memory',
  SYS_ENOSYS: 'the kernel has no such call',
  SYS_EPERM: 'not permitted',
  SYS_ESRCH: 'no such process or thread, or it is not stopped',
  SYS_OTHER: 'any other error number; the message names it',
} as const;

export type SysErrorCode = keyof typeof SYS_ERRORS;

/** Of two names of one number the first: EAGAIN, not EWOULDBLOCK. */
const ERRNO_NAMES: ReadonlyMap<number, string> = new Map(
  Object.entries(constants.errno)
    .map(([name, number]) => [number, name] as const)
    .reverse(),
);

/** 1 becomes 'EPERM'; numbers without a name stay numbers. */
export function errnoName(errno: number): string {
  return ERRNO_NAMES.get(errno) ?? String(errno);
}

/** A failed call to the operating system. */
export class SysError extends BpfError {
  override readonly name = 'SysError';
  override readonly code: SysErrorCode;
  /** What failed, in the words of the manual page: 'ptrace(PTRACE_SEIZE, 42)'. */
  readonly call: string;
  /** The kernel's error number, positive. */
  readonly errno: number;

  constructor(call: string, errno: number, options?: BpfErrorOptions) {
    super(`cannot ${call}: ${errnoName(errno)}`, options);
    const code = `SYS_${errnoName(errno)}`;
    this.code = isSysErrorCode(code) ? code : 'SYS_OTHER';
    this.call = call;
    this.errno = errno;
  }
}

/** True for a SysError with one of `codes`. */
export function isSysError(error: unknown, ...codes: readonly SysErrorCode[]): error is SysError {
  return error instanceof SysError && codes.includes(error.code);
}

function isSysErrorCode(code: string): code is SysErrorCode {
  return Object.hasOwn(SYS_ERRORS, code);
}
