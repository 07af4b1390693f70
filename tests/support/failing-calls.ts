/**
 * Makes calls to the C library fail as they may: once, at the n-th call that can. To be imported before anything calls it; only
 * errors that the call has are injected. Source: the ERRORS sections of their manual pages.
 */
import { createRequire } from 'node:module';
import { constants } from 'node:os';

type Bound = (...args: readonly unknown[]) => unknown;
interface Koffi {
  load(path: string | null): { func(name: string, ...signature: readonly unknown[]): Bound };
  errno(): number;
}

const { EINTR, ENOMEM, EMFILE, EAGAIN, EPERM } = constants.errno;

/** What each may fail with for want of something, or because a signal came. */
const ERRORS: Readonly<Record<string, readonly number[]>> = {
  fcntl: [EPERM],
  mmap: [ENOMEM, EAGAIN],
  poll: [EINTR, ENOMEM],
  pread: [EINTR, ENOMEM],
  pwrite: [ENOMEM, EINTR],
  sched_setscheduler: [EPERM],
  syscall: [EMFILE, ENOMEM],
  timer_create: [EAGAIN, ENOMEM],
  usleep: [EINTR],
  waitpid: [EINTR],
};

const koffi = createRequire(import.meta.url)('koffi') as Koffi;
const { load, errno } = koffi;
let failAt = 0;
let count = 0;
let injected: number | undefined;

koffi.load = (path) => {
  const library = load(path);
  return {
    func(name, ...signature) {
      const bound = library.func(name, ...signature);
      const errors = ERRORS[name];
      if (errors === undefined) return bound;
      return (...args) => {
        injected = undefined;
        if (++count !== failAt) return bound(...args);
        injected = errors[count % errors.length]!;
        return -1;
      };
    },
  };
};
koffi.errno = () => injected ?? errno();

/** Has the `n`-th call from now on fail, 0 for none. */
export function failAtCall(n: number): void {
  failAt = n;
  count = 0;
  injected = undefined;
}

/** How many calls that may fail were made since then. */
export function callsMade(): number {
  return count;
}
