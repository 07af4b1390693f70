/**
 * Loaded before a controller (`node --import`): kills it with SIGKILL right before its n-th call to the operating system that
 * changes anything, n being KILL_AT. Without KILL_AT, or if there are fewer, the number of such calls is printed at the end.
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
let count = 0;

koffi.load = (path) => {
  const library = load(path);
  return {
    func(name, ...signature) {
      const bound = library.func(name, ...signature);
      if (HARMLESS.has(name)) return bound;
      return (...args) => {
        if (++count === killAt) die();
        return bound(...args);
      };
    },
  };
};

process.on('exit', () => process.stdout.write(`${count}\n`));

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  // The signal may reach another thread first.
  for (;;);
}
