/** An attached object until something ends it: what programs print as they do, then what the maps hold, then off it comes. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { BpfLink, BpfObject, TargetProcess } from '../index.ts';
import type { LoadReport } from './load-report.ts';
import type { Output } from './output.ts';

/** How often the target is asked for news, in milliseconds. */
const POLL_INTERVAL = 50;

/** What is attached to one process. */
export interface Attached {
  readonly target: TargetProcess;
  readonly links: readonly BpfLink[];
}

/** What is attached, and who is told about it. */
export interface Watched {
  readonly object: BpfObject;
  readonly attached: readonly Attached[];
  readonly report: LoadReport;
  readonly output: Output;
  /** False once there is nothing to wait for any more. */
  readonly lasts: () => boolean;
}

/** Returns once everything is told. @throws what detaching throws, and writing */
export async function watch({ object, attached, report, output, lasts }: Watched, signal: AbortSignal): Promise<void> {
  while (!signal.aborted && lasts()) {
    await sleep(POLL_INTERVAL, undefined, { signal }).catch(() => {});
    // A reader that does not keep up makes us wait; what the ring cannot hold meanwhile is counted as lost.
    if (!output.isFull) for (const text of object.readPrintk()) report.printk(text);
  }

  const problem = problemOf(() => object.detachAll());
  for (const text of object.readPrintk()) report.printk(text);
  for (const map of object.maps) report.map(map);
  const links = attached.flatMap((one) => one.links);
  report.stats(links, object.lostEvents);
  if (problem === undefined) object[Symbol.dispose]();
  for (const { target, links } of attached) {
    report.detached({ pid: target.pid, links: links.length, restored: problem === undefined && !target.isGone() });
  }
  await output.flush();
  if (problem !== undefined) throw problem;
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
