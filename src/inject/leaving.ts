/** When code of ours may go: no thread is in it, or comes back to it. */
import type { RemoteCalls } from '../process/remote-calls.ts';
import { type AddressRange, threadsInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';

/** Threads inside our code are let run alone for a moment, which is mostly all they need to leave it: how often, how long. */
const RUNS_ALONE = 4;
const RUN_ALONE_US = 500;
/** Others wait for something in it: how long they get before the memory is left where it is. */
const LEAVE_WAITS_US = [0, 1000, 10_000, 100_000, 400_000] as const;

/**
 * Waits until no thread is in `ranges`, for a moment.
 *
 * @param letGo called then, with all threads stopped: undoes what would bring one back. `calls` has one of them make system
 *   calls
 * @returns false if one stays
 */
export function leaveTogether(
  process: TargetProcess,
  ranges: readonly AddressRange[],
  letGo: (calls: () => RemoteCalls) => void,
): boolean {
  return LEAVE_WAITS_US.some((wait) => {
    sleepMicroseconds(wait);
    return isLeft(process, ranges, letGo);
  });
}

function isLeft(
  process: TargetProcess,
  ranges: readonly AddressRange[],
  letGo: (calls: () => RemoteCalls) => void,
): boolean {
  using held = process.stopThreads();
  const mappings = process.mappings();
  for (let runs = 0; ; runs++) {
    const inside = threadsInside(ranges, held.threads, mappings, process.memory);
    if (inside.length === 0) break;
    if (runs === RUNS_ALONE) return false;
    held.runAlone(inside, RUN_ALONE_US);
  }
  let calls: RemoteCalls | undefined;
  try {
    letGo(() => {
      calls ??= process.borrow(held, process.callPlace());
      return calls;
    });
  } finally {
    calls?.[Symbol.dispose]();
  }
  return true;
}
