/** The two sides of the comparison, as the bench sees them: something that puts programs on a function. */
import { viewOf } from '../src/bytes/struct.ts';
import type { BenchTarget } from './bench-target.ts';
import type { BenchProbe } from './workloads.ts';

export interface Side {
  readonly name: string;
  /** Where programs can be put here. */
  readonly serves: readonly BenchProbe['at'][];
  /** Loads programs of the bench object with fresh maps and runs them at every call of `symbol` until disposed. */
  attach(probes: readonly BenchProbe[], target: BenchTarget, symbol: string): Attachment;
}

export interface Attachment extends Disposable {
  /** How long the target's threads stood still, in microseconds; undefined if the side does not stop them. */
  readonly pauseUs: number | undefined;
  /** How often the programs ran, all together, if the side tells: the only proof that an empty one did. */
  hits(): bigint | undefined;
  /** The sum of all values of a map: how many hits a counting program counted. */
  sum(map: string): bigint;
  /** Opens a ring buffer to be read. */
  ring(map: string): RingReader;
}

/** The reader of one ring. */
export interface RingReader extends Disposable {
  consume(visit: (bytes: Uint8Array, at: number, size: number) => void): number;
  /** Events there was no room for, if the side tells. */
  lost(): bigint | undefined;
}

/** True if a side can run all of these. */
export function servesAll({ serves }: Side, probes: readonly BenchProbe[]): boolean {
  return probes.every(({ at }) => serves.includes(at));
}

/** The sum of map values that are unsigned 64-bit numbers. */
export function sumOf(values: Iterable<Uint8Array>): bigint {
  let sum = 0n;
  for (const value of values) sum += viewOf(value).getBigUint64(0, true);
  return sum;
}
