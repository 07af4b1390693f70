/**
 * Starting a child that libuv knows nothing of: it would take the stops of one that is traced. What Node changed for itself
 * is put back: it closes standard streams at an exec, makes pipes non-blocking and ignores SIGPIPE and SIGXFSZ.
 * Source: posix_spawn(3); <spawn.h> of glibc and musl.
 */
import { closeSync, constants as fileConstants, writeSync } from 'node:fs';
import { expectEnd } from './child-end.ts';
import { SysError } from './errors.ts';
import { libc, tryLibc } from './libc.ts';

/** At least the sizes of posix_spawnattr_t, posix_spawn_file_actions_t and sigset_t. */
const ATTRIBUTES_SIZE = 512;
const ACTIONS_SIZE = 256;
const SIGSET_SIZE = 128;
const POSIX_SPAWN_SETSIGDEF = 4;

const MFD_CLOEXEC = 1;
const STANDARD_STREAMS = [0, 1, 2];
const F_GETFL = 3;
const F_SETFL = 4;

/** Environment variables by name. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Starts a child from the bytes of an ELF file, with our standard streams, process group and terminal. `takeEnd` must be
 * asked for it until it tells.
 *
 * @param args the first is its own name
 * @throws {SysError} SYS_EAGAIN, SYS_ENOMEM, SYS_EMFILE, SYS_EACCES
 */
export function spawnImage(image: Uint8Array, args: readonly string[], environment: Environment): number {
  const fd = libc('memfd_create', 'memfd_create', 'remora-start', MFD_CLOEXEC);
  try {
    writeSync(fd, image);
    return spawnFile(`/proc/self/fd/${fd}`, args, environment);
  } finally {
    closeSync(fd);
  }
}

function spawnFile(path: string, args: readonly string[], environment: Environment): number {
  const actions = new Uint8Array(ACTIONS_SIZE);
  const attributes = new Uint8Array(ATTRIBUTES_SIZE);
  const pid = new Int32Array(1);
  check('posix_spawn_file_actions_init', actions);
  try {
    for (const fd of STANDARD_STREAMS.filter(makeBlocking)) {
      // Onto itself: stays open at the exec.
      check('posix_spawn_file_actions_adddup2', actions, fd, fd);
    }
    check('posix_spawnattr_init', attributes);
    check('posix_spawnattr_setflags', attributes, POSIX_SPAWN_SETSIGDEF);
    // All, not only the two: Node has forgotten what it was started with, and glibc ignores two of its own in the child.
    check('posix_spawnattr_setsigdefault', attributes, new Uint8Array(SIGSET_SIZE).fill(0xff));
    const variables = Object.entries(environment).flatMap(([name, value]) =>
      value === undefined ? [] : [`${name}=${value}`],
    );
    check('posix_spawn', pid, path, actions, attributes, [...args, null], [...variables, null]);
  } finally {
    tryLibc('posix_spawn_file_actions_destroy', actions);
  }
  expectEnd(pid[0]!);
  return pid[0]!;
}

/** These return an error number instead of setting errno. */
function check(name: Parameters<typeof tryLibc>[0], ...args: Parameters<typeof tryLibc>[1][]): void {
  const errno = tryLibc(name, ...args);
  if (errno !== 0) throw new SysError(name, Math.abs(errno));
}

/** Both processes share whether a stream blocks, and few programs expect one that does not. False if it is not open. */
function makeBlocking(fd: number): boolean {
  const flags = tryLibc('fcntl', fd, F_GETFL, 0);
  if (flags < 0) return false;
  if ((flags & fileConstants.O_NONBLOCK) !== 0) tryLibc('fcntl', fd, F_SETFL, flags & ~fileConstants.O_NONBLOCK);
  return true;
}
