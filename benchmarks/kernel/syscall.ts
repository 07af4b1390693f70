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
 * Calls the kernel.
 *
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

/** Memory that system calls read and write: it neither moves nor is collected before it is disposed. */
export class CallMemory implements Disposable {
  #held: Uint8Array[] = [];

  /** Zeros, and where they are. */
  reserve(size: number): Place {
    // An ArrayBuffer of our own, because V8 moves the bytes of small typed arrays.
    const bytes = new Uint8Array(new ArrayBuffer(size));
    this.#held.push(bytes);
    return { bytes, address: koffi.address(bytes) };
  }

  /** The address of a copy of `bytes`. */
  place(bytes: Uint8Array): bigint {
    const copy = this.reserve(bytes.length);
    copy.bytes.set(bytes);
    return copy.address;
  }

  /** The address of `text` with a zero behind it. */
  placeString(text: string): bigint {
    return this.place(new TextEncoder().encode(`${text}\0`));
  }

  [Symbol.dispose](): void {
    this.#held = [];
  }
}

/** A piece of CallMemory. */
export interface Place {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}
