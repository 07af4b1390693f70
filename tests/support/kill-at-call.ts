/**
 * Loaded before a controller (`node --import`): kills it with SIGKILL, or what KILL_WITH names, right before its n-th call to the
 * operating system that changes anything, n being KILL_AT. With KILL_OF only calls of
 * ptrace(2) with that request are counted. Without KILL_AT, or if there are fewer, the number of such calls is printed at the end.
 */
import { createRequire } from 'node:module';

type Bound = (...args: readonly unknown[]) => unknown;
interface Library {
  func(name: string, ...signature: readonly unknown[]): Bound;
}

/** Calls that leave everything as it is. */
const HARMLESS = new Set([
  'pread',
  'waitpid',
  'usleep',
  'poll',
  'sched_getscheduler',
  'dlsym',
  'sigaction',
  'timer_create',
  'timer_settime',
]);

const koffi = createRequire(import.meta.url)('koffi') as { load(path: string | null): Library };
const load = koffi.load;
const killAt = Number(process.env.KILL_AT ?? 0);
const request = Number(process.env.KILL_OF ?? 0);
const signal = process.env.KILL_WITH ?? 'SIGKILL';
let count = 0;

koffi.load = (path) => {
  const library = load(path);
  return {
    func(name, ...signature) {
      const bound = library.func(name, ...signature);
      if (HARMLESS.has(name)) return bound;
      return (...args) => {
        if (isMeant(name, args) && ++count === killAt) stopHere();
        return bound(...args);
      };
    },
  };
};

process.on('exit', () => process.stdout.write(`${count}\n`));

function isMeant(name: string, [first]: readonly unknown[]): boolean {
  return request === 0 || (name === 'ptrace' && first === request);
}

function stopHere(): void {
  process.kill(process.pid, signal);
  // The signal may reach another thread first.
  while (signal === 'SIGKILL');
}
