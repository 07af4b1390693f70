/** Time and priority of the calling thread. */
import { tryLibc } from './libc.ts';

const SCHED_OTHER = 0;
const SCHED_FIFO = 1;
const SCHED_RESET_ON_FORK = 0x4000_0000;

/** Blocks the calling thread. */
export function sleepMicroseconds(time: number): void {
  tryLibc('usleep', time);
}

/**
 * Puts the calling thread before all ordinary ones until disposed of: with hundreds of runnable threads to stop it would
 * else wait for its turn while they are held. Does nothing where that is not permitted, or has been done.
 */
export function raisePriority(): Disposable {
  const isOrdinary = tryLibc('sched_getscheduler', 0) === SCHED_OTHER;
  const raised = isOrdinary && setPolicy(SCHED_FIFO | SCHED_RESET_ON_FORK, 1);
  return {
    [Symbol.dispose]() {
      if (raised) setPolicy(SCHED_OTHER, 0);
    },
  };
}

function setPolicy(policy: number, priority: number): boolean {
  return tryLibc('sched_setscheduler', 0, policy, Int32Array.of(priority)) === 0;
}
