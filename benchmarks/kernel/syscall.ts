/** System calls that only the kernel's side of the comparison needs. */
import { getSystemErrorName } from 'node:util';
import koffi from 'koffi';

/** Numbers of x86-64: arch/x86/entry/syscalls/syscall_64.tbl. */
export const Sys = { ioctl: 16, perfEventOpen: 298, bpf: 321 } as const;

/** The kernel said no. */
export class SyscallError extends Error {
  override readonly name = 'SyscallError';
  /** As in `EPERM`. */
  readonly errno: string;

  constructor(what: string, errno: string, detail = '') {
    super(`cannot ${what}: the kernel says ${errno}${detail && `\n${detail}`}`);
    this.errno = errno;
  }
}

const libc = koffi.load('libc.so.6');
const rawSyscall = libc.func('syscall', 'int64', ['int64', 'uint64', 'uint64', 'uint64', 'uint64', 'uint64']);

/**
 * @param what completes "cannot ..." in the error
 * @param explain asked for more to say about a failure
 * @throws {SyscallError}
 */
export function syscall(
  what: string,
  number: number,
  args: readonly (number | bigint)[],
  explain: () => string = () => '',
): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0] = args.map((arg) => BigInt.asUintN(64, BigInt(arg)));
  const result = Number(rawSyscall(number, a, b, c, d, e));
  if (result < 0) throw new SyscallError(what, getSystemErrorName(-koffi.errno()), explain());
  return result;
}

/** Bytes that stay where they are while a system call reads or writes them: small typed arrays may move. */
export function fixedBytes(size: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(size));
}

/** A copy that stays where it is. */
export function fixedCopy(bytes: Uint8Array): Uint8Array {
  const copy = fixedBytes(bytes.length);
  copy.set(bytes);
  return copy;
}

/** `text` in fixed memory, with a zero behind it. */
export function cString(text: string): Uint8Array {
  return fixedCopy(new TextEncoder().encode(`${text}\0`));
}

/** Where fixed bytes are; keep a reference to them for as long as the address is in use. */
export function addressOf(bytes: Uint8Array): bigint {
  return koffi.address(bytes);
}
