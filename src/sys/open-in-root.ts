/**
 * Opening files as another process names them: from its own root, which nothing in the path leads out of, be it a container's whose
 * links were made to do just that. Nothing of ours changes for it. Source: openat2(2).
 */
import { closeSync, constants, openSync } from 'node:fs';
import { viewOf } from '../bytes/struct.ts';
import { SysError } from './errors.ts';
import { libc, tryLibc, viewOfMemory } from './libc.ts';
import { asSysError } from './proc.ts';

const SYS_OPENAT2 = 437;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
/** A descriptor that stands for the file, which is not opened by it. */
export const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

/** struct open_how { u64 flags, mode, resolve; }, behind the path, which is no longer than that. */
const HOW_SIZE = 24;
const PATH_MAX = 4096;
const MEMORY_SIZE = 2 * PATH_MAX;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;

let scratch: { readonly address: number; readonly bytes: Uint8Array } | undefined;

/**
 * Opens `path` as process `pid` would: symbolic links begin at its root too.
 *
 * @param flags of open(2)
 * @returns a descriptor, the caller's to close
 * @throws {SysError} SYS_ENOENT, SYS_EACCES, ...
 */
export function openInRoot(pid: number, path: string, flags: number): number {
  const rootPath = `/proc/${pid}/root`;
  const root = asSysError(`open(${rootPath})`, () => openSync(rootPath, O_PATH | constants.O_DIRECTORY));
  try {
    const fd = openAt(root, path, flags);
    if (fd >= 0) return fd;
    if (fd !== -ENOSYS) throw new SysError(`open(${rootPath}${path})`, -fd);
  } finally {
    closeSync(root);
  }
  // Before Linux 5.6: links may lead elsewhere, which whoever compares files notices.
  return asSysError(`open(${rootPath}${path})`, () => openSync(`${rootPath}${path}`, flags));
}

const ENOSYS = 38;
const ENAMETOOLONG = 36;

/** A descriptor, or a negative error number. */
function openAt(root: number, path: string, flags: number): number {
  const name = Buffer.from(`${path}\0`);
  if (name.length > PATH_MAX) return -ENAMETOOLONG;
  scratch ??= allocate();
  const { address, bytes } = scratch;
  bytes.set(name);
  const how = viewOf(bytes.subarray(PATH_MAX));
  how.setBigUint64(0, BigInt(flags | O_CLOEXEC), true);
  how.setBigUint64(8, 0n, true);
  how.setBigUint64(16, BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS), true);
  return tryLibc('syscall', SYS_OPENAT2, root, address, address + PATH_MAX, HOW_SIZE);
}

function allocate(): { readonly address: number; readonly bytes: Uint8Array } {
  const address = libc('mmap', 'mmap', 0, MEMORY_SIZE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  return { address, bytes: new Uint8Array(viewOfMemory(address, MEMORY_SIZE)) };
}
