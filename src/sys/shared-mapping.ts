/**
 * A memory file of the target, mapped into this process: what maps and rings are read through.
 * Source: mmap(2), memfd_create(2), F_ADD_SEALS in fcntl(2).
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { PutAwayFile } from './file-passing.ts';
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

/** Whole pages of a file, in bytes from its beginning. */
export interface FilePart {
  readonly offset: number;
  readonly size: number;
}

/** Memory of a fixed size that two processes see. */
export interface SharedMapping extends Disposable {
  /** The memory itself. */
  readonly buffer: ArrayBuffer;
  /** Where it ends here, and a page begins that nobody else sees: what robust-word.ts keeps there the target cannot forge. */
  readonly end: number;
  /** The inode, by which /proc/PID/maps of the other process tells that it mapped the same. */
  readonly inode: bigint;
  /** The part that was asked for: from now on the caller's to dispose of. */
  takePart(): SharedPart;
}

/** A part of a memory file, on its own: it outlives the mapping it was taken from, and whoever made the file. */
export interface SharedPart extends FilePart, Disposable {
  readonly buffer: ArrayBuffer;
  readonly inode: bigint;
  /** To be given to others. */
  readonly file: PutAwayFile;
}

/** What a memory file is to be. */
export interface SharedFilePlan {
  /** In bytes, whole pages. */
  readonly size: number;
  /** What it begins with. */
  readonly head?: Uint8Array;
  /** What of it is wanted once more on its own. */
  readonly part?: FilePart | undefined;
}

/**
 * Opens an empty memory file of another process, gives it its size for good and maps it. A thread of that process stands still
 * meanwhile, as a rule: what can be done later is.
 *
 * @param path /proc/PID/fd/N, made with MFD_ALLOW_SEALING
 * @throws {SysError} SYS_EPERM if it is sealed already, and whatever open, ftruncate and mmap say
 */
export function mapSharedFile(path: string, { size, head, part }: SharedFilePlan): SharedMapping {
  // O_NONBLOCK: if the target put something else in its place, opening must not wait for it.
  const fd = asSysError(`open(${path})`, () => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  try {
    asSysError(`ftruncate(${path})`, () => ftruncateSync(fd, size));
    libc(`fcntl(${path}, F_ADD_SEALS)`, 'fcntl', fd, F_ADD_SEALS, FIXED_SIZE);
    if (head !== undefined) asSysError(`write(${path})`, () => writeSync(fd, head));
    const { ino: inode } = fstatSync(fd, { bigint: true });
    const whole = size + TAIL_SIZE;
    const address = libc(`mmap(${whole} bytes)`, 'mmap', 0, whole, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    libc(`mmap(${path}, ${size} bytes)`, 'mmap', address, size, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
    let buffer: ArrayBuffer | undefined;
    // Not later: there must be room for its descriptor before the target has anything of ours.
    let shared = part && mapPart(fd, inode, part);
    return {
      get buffer() {
        buffer ??= viewOfMemory(address, size);
        return buffer;
      },
      end: address + size,
      inode,
      takePart() {
        if (shared === undefined) throw new TypeError('no part was asked for, or it was taken');
        const taken = shared;
        shared = undefined;
        return taken;
      },
      [Symbol.dispose]: once(() => {
        shared?.[Symbol.dispose]();
        libc('munmap', 'munmap', address, whole);
      }),
    };
  } finally {
    closeSync(fd);
  }
}

function mapPart(fd: number, inode: bigint, { offset, size }: FilePart): SharedPart {
  const address = libc(`mmap(${size} bytes)`, 'mmap', 0, size, PROT_READ_WRITE, MAP_SHARED, fd, offset);
  const file = new PutAwayFile(fd);
  const close = once(() => {
    libc('munmap', 'munmap', address, size);
    file[Symbol.dispose]();
  });
  return { buffer: viewOfMemory(address, size), offset, size, inode, file, [Symbol.dispose]: close };
}

function once(body: () => unknown): () => void {
  let isDone = false;
  return () => {
    if (!isDone) body();
    isDone = true;
  };
}
