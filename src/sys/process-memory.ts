/**
 * The memory of another process through /proc/PID/mem, which ignores page protection: no page of the target is ever
 * writable and executable at once. The descriptor stays with the address space it was opened for, so that after an
 * exec it reads nothing rather than something else.
 */
import { closeSync, constants, openSync } from 'node:fs';
import { constants as osConstants } from 'node:os';
import { SysError } from './errors.ts';
import { tryLibc } from './libc.ts';
import { asSysError } from './proc.ts';
import { type MemoryRange, readScattered } from './scattered-read.ts';

const { EINTR, ENOMEM, EAGAIN } = osConstants.errno;
/** What may be otherwise a moment later. */
const TRANSIENT: ReadonlySet<number> = new Set([EINTR, ENOMEM, EAGAIN]);
const ATTEMPTS = 4;

export class ProcessMemory implements Disposable {
  readonly #pid: number;
  #fd: number;

  /** @throws {SysError} SYS_EACCES, SYS_EPERM, SYS_ENOENT */
  constructor(pid: number) {
    this.#pid = pid;
    this.#fd = asSysError(`open(/proc/${pid}/mem)`, () => openSync(`/proc/${pid}/mem`, constants.O_RDWR));
  }

  /** True once the address space is: no thread uses it any more. */
  isGone(): boolean {
    // Reading where nothing is mapped fails, but reading where nothing can be gives nothing.
    return tryLibc('pread', this.#fd, new Uint8Array(1), 1, 0) === 0;
  }

  /** Up to `size` bytes: fewer where unmapped memory follows. @throws {SysError} SYS_EIO if there is none */
  readUpTo(address: bigint, size: number): Uint8Array {
    const bytes = new Uint8Array(size);
    const what = `pread(/proc/${this.#pid}/mem, ${size} bytes at 0x${address.toString(16)})`;
    for (let done = 0; done < size; ) {
      const rest = bytes.subarray(done);
      let count: number;
      try {
        count = this.#transfer(what, 'pread', rest, address + BigInt(done));
      } catch (error) {
        if (done === 0) throw error;
        count = 0;
      }
      if (count === 0) return bytes.subarray(0, done);
      done += count;
    }
    return bytes;
  }

  /** @throws {SysError} SYS_EIO if any of it is not mapped, or the process is gone */
  read(address: bigint, size: number): Uint8Array {
    const bytes = this.readUpTo(address, size);
    if (bytes.length < size) throw this.#short('read', address, size, bytes.length);
    return bytes;
  }

  /** What is at several places, each as `readUpTo` gives it; in few calls if it is not too much. @throws {SysError} as that */
  readEach(ranges: readonly MemoryRange[]): readonly Uint8Array[] {
    return readScattered(this.#pid, ranges) ?? ranges.map(({ address, size }) => this.readUpTo(address, size));
  }

  /** @throws {SysError} SYS_EIO if any of it is not mapped, or the process is gone */
  write(address: bigint, bytes: Uint8Array): void {
    const what = `pwrite(/proc/${this.#pid}/mem, ${bytes.length} bytes at 0x${address.toString(16)})`;
    for (let done = 0; done < bytes.length; ) {
      const rest = bytes.subarray(done);
      const count = this.#transfer(what, 'pwrite', rest, address + BigInt(done));
      if (count === 0) throw this.#short('write', address, bytes.length, done);
      done += count;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  /** What is put back must not stay as it is because of a moment's shortage. */
  #transfer(what: string, name: 'pread' | 'pwrite', bytes: Uint8Array, address: bigint): number {
    for (let attempt = 1; ; attempt++) {
      const count = tryLibc(name, this.#fd, bytes, bytes.length, address);
      if (count >= 0) return count;
      if (attempt === ATTEMPTS || !TRANSIENT.has(-count)) throw new SysError(what, -count);
    }
  }

  #short(verb: string, address: bigint, size: number, done: number): SysError {
    const EIO = 5;
    return new SysError(
      `${verb} ${size} bytes at 0x${address.toString(16)} of process ${this.#pid}, ${done} done`,
      EIO,
    );
  }
}
