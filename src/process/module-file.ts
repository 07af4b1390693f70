/**
 * The bytes of the file a module was mapped from: of that very file, also when its path leads to another one by now, or
 * leads nowhere in our own mount namespace. What is opened belongs to the target and may be hostile.
 */
import { type BigIntStats, closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import { isSysError } from '../sys/errors.ts';
import { O_PATH, openInRoot } from '../sys/open-in-root.ts';
import { asSysError } from '../sys/proc.ts';
import { deviceName, type Mapping } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { ProcessError } from './errors.ts';
import type { Module } from './module.ts';

/** Larger files are refused: no linker writes them, and a sparse one costs its owner nothing. */
const MAX_FILE_SIZE = 2 ** 31;

/** Compared where device numbers cannot be: the first page holds the headers and mostly the build-id. */
const IDENTITY_SIZE = 4096;

/** @throws {ProcessError} PROCESS_MODULE_UNREADABLE */
export function readModuleFile(procId: number, module: Module, memory: ProcessMemory): Uint8Array {
  const first = module.mappings[0]!;
  if (first.path === '[vdso]') return memory.read(module.start, Number(module.end - module.start));
  const range = `${first.start.toString(16)}-${first.end.toString(16)}`;
  // This link leads to the mapped file itself, but following it takes a capability.
  const mapped = openRegular(`/proc/${procId}/map_files/${range}`);
  const fd = mapped ?? openNamed(procId, first.path);
  if (fd === undefined) {
    throw unreadable(
      module,
      first.deleted ? 'the file was deleted, and reading it still takes CAP_SYS_ADMIN' : 'it cannot be opened',
    );
  }
  try {
    const stats = fstatSync(fd, { bigint: true });
    if (stats.size > MAX_FILE_SIZE) throw unreadable(module, `it has ${stats.size} bytes`);
    if (mapped === undefined && !isMapped(fd, stats, first, memory)) {
      throw unreadable(module, 'another file has taken its place since it was mapped');
    }
    return readOnce(fd, stats);
  } finally {
    closeSync(fd);
  }
}

/**
 * A descriptor of a regular file, undefined if it cannot be had. Nothing else is opened: devices and pipes may notice.
 *
 * @param link one of /proc, which leads to one file whatever becomes of names
 */
function openRegular(link: string): number | undefined {
  try {
    if (!asSysError(`stat(${link})`, () => statSync(link)).isFile()) return undefined;
    return asSysError(`open(${link})`, () => openSync(link, constants.O_RDONLY));
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

/** The file that has the name now that the mapped one had. */
function openNamed(procId: number, path: string): number | undefined {
  try {
    const place = openInRoot(procId, path, O_PATH | constants.O_NOFOLLOW);
    try {
      return openRegular(`/proc/self/fd/${place}`);
    } finally {
      closeSync(place);
    }
  } catch (error) {
    if (isUnavailable(error)) return undefined;
    throw error;
  }
}

function isUnavailable(error: unknown): boolean {
  return isSysError(error, 'SYS_EACCES', 'SYS_EPERM', 'SYS_ENOENT', 'SYS_OTHER');
}

/** By device and inode or, on filesystems that report others to mmap than to stat, by what is in memory. */
function isMapped(fd: number, stats: BigIntStats, mapping: Mapping, memory: ProcessMemory): boolean {
  if (stats.ino === mapping.inode && deviceName(stats.dev) === mapping.device) return true;
  if (mapping.offset !== 0 || mapping.permissions[1] === 'w') return false;
  const page = readWhole(fd, Math.min(IDENTITY_SIZE, Number(stats.size)));
  return Buffer.compare(page, memory.readUpTo(mapping.start, page.length)) === 0;
}

/** Files that were read, those asked for last at the end: programs that are begun again and again are mostly the same few. */
const known = new Map<string, Uint8Array>();
const KNOWN_AT_MOST = 256 * 1024 * 1024;
/** Within this time a file may change and its time of change stay the same, in nanoseconds. */
const CLOCK_GRAIN = 1_000_000_000n;

function readOnce(fd: number, { dev, ino, size, mtimeNs, ctimeNs }: BigIntStats): Uint8Array {
  const identity = `${dev}:${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  const bytes = known.get(identity) ?? readWhole(fd, Number(size));
  known.delete(identity);
  if (BigInt(Date.now()) * 1_000_000n - ctimeNs < CLOCK_GRAIN) return bytes;
  known.set(identity, bytes);
  let total = [...known.values()].reduce((sum, { length }) => sum + length, 0);
  for (const [oldest, { length }] of known) {
    if (total <= KNOWN_AT_MOST) break;
    known.delete(oldest);
    total -= length;
  }
  return bytes;
}

function readWhole(fd: number, size: number): Uint8Array {
  const bytes = Buffer.allocUnsafeSlow(size);
  for (let done = 0; done < size; ) {
    const count = readSync(fd, bytes, done, size - done, done);
    if (count === 0) return bytes.subarray(0, done);
    done += count;
  }
  return bytes;
}

function unreadable(module: Module, why: string): ProcessError {
  return new ProcessError('PROCESS_MODULE_UNREADABLE', `cannot read '${module.path}': ${why}`);
}
