/**
 * One controller at a time: who stops threads of a process, or has them make system calls, holds a lock that others of this
 * machine see. It is a name in the abstract socket namespace, so that it goes with its holder, however that ends. Who lives
 * in another network namespace does not see it. Source: unix(7).
 */
import { closeSync } from 'node:fs';
import { constants } from 'node:os';
import { libc, tryLibc, viewOfMemory } from './libc.ts';
import { readPidNamespace, readStartTime } from './proc.ts';
import { sleepMicroseconds } from './scheduling.ts';

const SYS_SOCKET = 41;
const SYS_BIND = 49;
const AF_UNIX = 1;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const PAGE = 4096;

/** How long others are waited for, and how often it is looked. */
const PATIENCE_MS = 4000;
const LOOK_US = 200;

/** What this process holds, by process id. */
const held = new Map<number, { fd: number; count: number }>();
let scratch: { readonly address: number; readonly bytes: Uint8Array } | undefined;

/** Takes the lock of a process until the result is disposed of; again and again if wanted. `undefined` if others do not let go of it. */
export function lockProcess(pid: number): Disposable | undefined {
  const known = held.get(pid);
  const lock = known ?? take(pid);
  if (lock === undefined) return undefined;
  lock.count++;
  held.set(pid, lock);
  let isHeld = true;
  return {
    [Symbol.dispose]() {
      if (!isHeld) return;
      isHeld = false;
      if (--lock.count > 0) return;
      held.delete(pid);
      if (lock.fd >= 0) closeSync(lock.fd);
    },
  };
}

function take(pid: number): { fd: number; count: number } | undefined {
  const fd = tryLibc('syscall', SYS_SOCKET, AF_UNIX, SOCK_DGRAM_CLOEXEC, 0, 0);
  // Where there are no sockets to be had there is no lock either.
  if (fd < 0) return { fd: -1, count: 0 };
  const deadline = performance.now() + PATIENCE_MS;
  const size = writeAddress(nameOf(pid));
  for (;;) {
    const result = tryLibc('syscall', SYS_BIND, fd, scratch!.address, size, 0);
    if (result !== -constants.errno.EADDRINUSE) return { fd, count: 0 };
    if (performance.now() > deadline) break;
    sleepMicroseconds(LOOK_US);
  }
  closeSync(fd);
  return undefined;
}

function nameOf(pid: number): string {
  try {
    return `remora ${readPidNamespace(process.pid)} ${pid} ${readStartTime(pid)}`;
  } catch {
    return `remora ${pid}`;
  }
}

/** struct sockaddr_un with a name that begins with a zero; gives its size. */
function writeAddress(name: string): number {
  if (scratch === undefined) {
    const address = libc('mmap', 'mmap', 0, PAGE, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
    scratch = { address, bytes: new Uint8Array(viewOfMemory(address, PAGE)) };
  }
  const text = Buffer.from(name);
  scratch.bytes.set([AF_UNIX, 0, 0]);
  scratch.bytes.set(text, 3);
  return 3 + text.length;
}
