/** When code of ours may go: no thread is in it, or comes back to it. */
import { PreparedCalls } from '../process/prepared-calls.ts';
import type { RemoteCalls } from '../process/remote-calls.ts';
import { type AddressRange, stackPointersOf, threadsAtWork, threadsInside } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { sleepMicroseconds } from '../sys/scheduling.ts';

/** Threads inside our code are let run alone for a moment, which is mostly all they need to leave it: how often, how long. */
const RUNS_ALONE = 4;
const RUN_ALONE_US = 500;
/** Others wait for something in it: how long they get before the memory is left where it is. */
const LEAVE_WAITS_US = [0, 1000, 10_000, 100_000, 400_000] as const;

/** The same for who need only leave it once, and is let run in between: nothing waits for us then. */
const PASS_WAITS_US = [0, 1000, 2000, 5000, 10_000, 20_000, 50_000, 100_000, 200_000, 400_000] as const;

/** How code goes. */
export interface Leaving {
  /** Where it lies: nobody is in there then, or comes back. */
  readonly ranges: readonly AddressRange[];
  /** Code of other sessions that uses what is let go of. */
  readonly beside: readonly AddressRange[];
  /**
   * Undoes what would bring a thread back, with all threads stopped; called again until all is done.
   *
   * @param stackPointers of threads that are at work in `beside`
   * @returns false if one of them stands in the way; nothing is changed then
   */
  letGo(stackPointers: readonly bigint[]): boolean;
  /** Called last, in the stop in which it is certain that nobody is at work any more with what was let go of. */
  finish?(calls: () => RemoteCalls): void;
}

/** Waits until no thread is in code that is to go, for a moment. @returns false if one stays */
export function leaveTogether(process: TargetProcess, leaving: Leaving): boolean {
  // Who was at work beside us when we let go, and was not seen elsewhere since.
  const busy: Busy = { threads: undefined };
  return LEAVE_WAITS_US.some((wait) => {
    sleepMicroseconds(wait);
    return isLeft(process, leaving, busy);
  });
}

/**
 * Waits until each thread has been somewhere else than in code of ours since this began: it may be there again. What was done before the
 * wait, everyone who comes there afterwards has seen.
 *
 * @returns false if one stays in it
 */
export function awaitOthers(process: TargetProcess, ranges: readonly AddressRange[]): boolean {
  let since: readonly number[] | undefined;
  return PASS_WAITS_US.some((wait) => {
    sleepMicroseconds(wait);
    using held = process.stopThreads();
    const mappings = process.mappings();
    for (let runs = 0; ; runs++) {
      const inside = threadsInside(ranges, held.threads, mappings, process.memory);
      const inTheWay = inside.filter(({ tid }) => since?.includes(tid) ?? true);
      since = inTheWay.map(({ tid }) => tid);
      if (inTheWay.length === 0) return true;
      if (runs === RUNS_ALONE) return false;
      held.runAlone(inTheWay, RUN_ALONE_US);
    }
  });
}

interface Busy {
  threads: readonly number[] | undefined;
}

function isLeft(process: TargetProcess, { ranges, beside, letGo, finish }: Leaving, busy: Busy): boolean {
  using held = process.stopThreads();
  const mappings = process.mappings();
  const { memory } = process;
  for (let runs = 0; ; runs++) {
    let inTheWay = threadsInside(ranges, held.threads, mappings, memory);
    if (inTheWay.length === 0) {
      inTheWay = threadsAtWork(beside, held.threads, mappings, memory);
      if (letGo(stackPointersOf(inTheWay, mappings, memory))) {
        const { threads: before } = busy;
        inTheWay = inTheWay.filter(({ tid }) => before?.includes(tid) ?? true);
        busy.threads = inTheWay.map(({ tid }) => tid);
        if (inTheWay.length === 0) break;
      }
    }
    if (runs === RUNS_ALONE) return false;
    held.runAlone(inTheWay, RUN_ALONE_US);
  }
  let calls: RemoteCalls | undefined;
  try {
    finish?.(() => {
      calls ??= process.borrow(held, new PreparedCalls(process.callPlace()));
      return calls;
    });
  } finally {
    calls?.[Symbol.dispose]();
  }
  return true;
}
