/** Time and priority of the calling thread. */
import { tryLibc } from './libc.ts';

const SCHED_FIFO = 1;
const SCHED_RESET_ON_FORK = 0x4000_0000;

/** Blocks the calling thread. */
export function sleepMicroseconds(time: number): void {
  tryLibc('usleep', time);
}

/**
 * Puts the calling thread before all ordinary ones until disposed of: with hundreds of runnable threads to stop it would
 * else wait for its turn while they are held. Does nothing where that is not permitted.
 */
export function raisePriority(): Disposable {
  const before = tryLibc('sched_getscheduler', 0);
  const raised = before >= 0 && setPolicy(SCHED_FIFO | SCHED_RESET_ON_FORK, 1);
  return {
    [Symbol.dispose]() {
      if (raised) setPolicy(before, 0);
    },
  };
}

function setPolicy(policy: number, priority: number): boolean {
  return tryLibc('sched_setscheduler', 0, policy, Int32Array.of(priority)) === 0;
}
