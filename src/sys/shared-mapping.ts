/**
 * A memory file of the target, mapped into this process: what maps and rings are read through.
 * Source: mmap(2), memfd_create(2), F_ADD_SEALS in fcntl(2).
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync } from 'node:fs';
import { libc, viewOfMemory } from './libc.ts';
import { asSysError } from './proc.ts';

const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x1;
const MAP_FIXED = 0x10;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW: nobody can make a page vanish under a reader any more. */
const FIXED_SIZE = 1 | 2 | 4;

/** Bytes that only this process sees, right behind a shared mapping. */
const TAIL_SIZE = 4096;

/** Memory of a fixed size that two processes see. */
export interface SharedMapping extends Disposable {
  /** The memory itself. */
  readonly buffer: ArrayBuffer;
  /** Where it ends here, and a page begins that nobody else sees: what robust-word.ts keeps there the target cannot forge. */
  readonly end: number;
  /** The inode, by which /proc/PID/maps of the other process tells that it mapped the same. */
  readonly inode: bigint;
}

/**
 * Opens an empty memory file of another process, gives it its size for good and maps it.
 *
 * @param path /proc/PID/fd/N, made with MFD_ALLOW_SEALING
 * @param size in bytes, whole pages
 * @throws {SysError} SYS_EPERM if it is sealed already, and whatever open, ftruncate and mmap say
 */
export function mapSharedFile(path: string, size: number): SharedMapping {
  // O_NONBLOCK: if the target put something else in its place, opening must not wait for it.
  const fd = asSysError(`open(${path})`, () => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  try {
    asSysError(`ftruncate(${path})`, () => ftruncateSync(fd, size));
    libc(`fcntl(${path}, F_ADD_SEALS)`, 'fcntl', fd, F_ADD_SEALS, FIXED_SIZE);
    const { ino } = fstatSync(fd, { bigint: true });
    const whole = size + TAIL_SIZE;
    const address = libc(`mmap(${whole} bytes)`, 'mmap', 0, whole, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    libc(`mmap(${path}, ${size} bytes)`, 'mmap', address, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    let mapped = true;
    return {
      buffer: viewOfMemory(address, size),
      end: address + size,
      inode: ino,
      [Symbol.dispose]() {
        if (mapped) libc('munmap', 'munmap', address, whole);
        mapped = false;
      },
    };
  } finally {
    closeSync(fd);
  }
}
