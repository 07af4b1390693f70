/**
 * How many events of 16 bytes a second come through a ring buffer to TypeScript: producers that do nothing else, and a reader that
 * looks at every record where it lies; beside the kernel's way from a uprobe to its ring. Nothing may be missing but what is counted.
 */
import { readFileSync } from 'node:fs';
import { setImmediate as turn } from 'node:timers/promises';
import { readObject } from '../src/object/read-object.ts';
import type { BenchTarget } from './bench-target.ts';
import { kernelSide } from './kernel-side.ts';
import { MAPS_OBJECT_PATH } from './map-cost.ts';
import { remoraSide } from './remora-side.ts';
import type { Side } from './side.ts';
import { PUSH } from './workloads.ts';

/** Millions a second, into TypeScript. */
export const RING_GOAL = 10;

/** One side with so many producers, of all rounds. */
export interface RingRate {
  readonly side: string;
  readonly threads: number;
  /** Millions a second that were read in the best WINDOW_MS. */
  readonly readPerUs: number;
  /** Millions a second that were tried, over the round that this was in. */
  readonly sentPerUs: number;
  /** What a call takes the producer that sends, in ns. */
  readonly callNs: number;
  /** Events that were neither read nor counted as lost, over all rounds. */
  readonly miscounted: number;
}

/** Of one measurement. */
const MILLISECONDS = 400;
/** Long enough for the ring to be filled several times, short enough to be left alone by other processes. */
const WINDOW_MS = 20;

export async function measureRings(target: BenchTarget, rounds: number): Promise<RingRate[]> {
  const sides = [remoraSide(MAPS_OBJECT_PATH), kernelSide(readObject(readFileSync(MAPS_OBJECT_PATH)))];
  const rates = new Map<string, RingRate>();
  for (let round = 0; round < rounds; round++) {
    for (const side of sides) {
      for (const threads of [1, 2]) {
        const rate = await measureRing(target, side, threads);
        if (rate === undefined) continue;
        const name = `${side.name} ${threads}`;
        const before = rates.get(name);
        const better = before === undefined || rate.readPerUs > before.readPerUs ? rate : before;
        rates.set(name, { ...better, miscounted: rate.miscounted + (before?.miscounted ?? 0) });
      }
    }
  }
  return [...rates.values()];
}

/** Undefined where this side cannot attach. */
async function measureRing(target: BenchTarget, side: Side, threads: number): Promise<RingRate | undefined> {
  const attachment = attempt(() => side.attach([{ program: 'send', at: 'entry' }], target, PUSH.symbol));
  if (attachment === undefined) return undefined;
  using attached = attachment;
  using ring = attached.ring('events');
  let sum = 0;
  const look = (bytes: Uint8Array, at: number): void => {
    sum += bytes[at]!;
  };
  let isMeasured = false;
  const begin = performance.now();
  const measuring = target.measure(PUSH.symbol, MILLISECONDS, threads).finally(() => {
    isMeasured = true;
  });
  let read = 0;
  let best = 0;
  while (!isMeasured) {
    const since = performance.now();
    let inWindow = 0;
    while (performance.now() - since < WINDOW_MS) inWindow += ring.consume(look);
    best = Math.max(best, inWindow / (performance.now() - since));
    read += inWindow;
    await turn();
  }
  const milliseconds = performance.now() - begin;
  const { min, calls } = await measuring;
  read += ring.consume(look);
  const lost = Number(ring.lost() ?? calls - read);
  return {
    side: side.name,
    threads,
    readPerUs: best / 1000,
    sentPerUs: calls / milliseconds / 1000,
    callNs: min,
    miscounted: sum < 0 ? read : Math.abs(calls - read - lost),
  };
}

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    console.error(`left out: ${error instanceof Error ? error.message : error}`);
    return undefined;
  }
}
