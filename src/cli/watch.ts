/** An attached object until something ends it: what programs print as they do, then what the maps hold, then off it comes. */
import type { BpfLink, BpfMap, BpfObject, Loads, TargetProcess } from '../index.ts';
import type { Following } from './following.ts';
import type { LoadReport, Outcome } from './load-report.ts';
import type { Output } from './output.ts';

/** How often the target is asked for news, in milliseconds; where events may come, and while they do or programs wait for us. */
const POLL_INTERVAL = { usual: 50, events: 10, busy: 1 } as const;
/** Events of a map that are told before anything else is looked at. */
const BATCH = 4096;
/** How often a ring is looked at when all is over: a target that goes on adding must not keep us. */
const LAST_LAPS = 64;

/** What is attached to one process. */
export interface Attached {
  readonly target: TargetProcess;
  readonly links: readonly BpfLink[];
}

/** What is attached, and who is told about it. */
export interface Watched {
  readonly object: BpfObject;
  readonly attached: readonly Attached[];
  /** Made before the target could run on: what it loads from then on is met. */
  readonly loads: Loads;
  readonly report: LoadReport;
  readonly output: Output;
  /** What follows their children, if they are followed. */
  readonly following: Following | undefined;
  /** False once there is nothing to wait for any more. */
  readonly lasts: () => boolean;
}

/** Returns once everything is told. @throws what detaching throws, and writing */
export async function watch(
  { object, attached, loads, report, output, following, lasts }: Watched,
  signal: AbortSignal,
): Promise<void> {
  const { detachCopies } = await import('../index.ts');
  const rings = object.maps.filter(({ events }) => events !== undefined);
  const quiet = rings.length === 0 ? POLL_INTERVAL.usual : POLL_INTERVAL.events;
  const pending = new Set(attached.flatMap(({ links }) => links.filter(({ address }) => address === 0n)));
  for (let told = 0; !signal.aborted && (lasts() || following?.hasProcesses()); ) {
    await loads.next(told > 0 || following !== undefined ? POLL_INTERVAL.busy : quiet, signal);
    following?.poll();
    // Of a library that goes and comes the first time is news.
    for (const link of loads.update()) if (pending.delete(link)) report.followed(link);
    // A reader that does not keep up makes us wait; what a ring cannot hold meanwhile is counted as lost.
    if (output.isFull) continue;
    for (const text of object.readPrintk()) report.printk(text);
    told = tellEvents(rings, report, BATCH);
  }

  loads[Symbol.dispose]();
  following?.[Symbol.dispose]();
  const problem = problemOf(() => object.detachAll());
  for (const text of object.readPrintk()) report.printk(text);
  tellLastEvents(rings, report);
  for (const map of object.maps) if (map.events === undefined) report.map(map);
  report.stats([...attached.flatMap(({ links }) => links), ...(following?.links ?? [])], object.lostEvents);
  if (problem === undefined) object[Symbol.dispose]();
  const copies = problem === undefined ? detachCopies(object.sessionIds) : new Map<number, never>();
  const targets = new Map(attached.map(({ target, links }) => [target.pid, { target, links: links.length }]));
  for (const [pid, process] of following?.processes ?? targets) {
    const { target, links } = process;
    const isFailed = problem !== undefined;
    const outcome = target === undefined ? (copies.has(pid) ? 'restored' : 'ended') : outcomeOf(target, isFailed);
    report.detached({ pid, links, outcome });
  }
  await output.flush();
  if (problem !== undefined) throw problem;
}

/** @returns how many there were */
function tellEvents(rings: readonly BpfMap[], report: LoadReport, limit?: number): number {
  const told = rings.map(({ name, events }) => events!.each((event) => report.event(name, event), limit));
  return told.reduce((sum, count) => sum + count, 0);
}

/** All that are there, and those behind what was begun and never finished. */
function tellLastEvents(rings: readonly BpfMap[], report: LoadReport): void {
  for (const ring of rings) {
    for (let lap = 0; lap < LAST_LAPS; lap++) {
      if (tellEvents([ring], report) === 0 && !ring.events!.passOver()) break;
    }
  }
}

function outcomeOf(target: TargetProcess, isFailed: boolean): Outcome {
  if (!target.isAlive()) return 'ended';
  if (target.isGone()) return 'replaced';
  return isFailed ? 'changed by others' : 'restored';
}

/** What `body` throws: the reader is to get what was counted all the same. */
function problemOf(body: () => void): unknown {
  try {
    body();
    return undefined;
  } catch (error) {
    return error;
  }
}
