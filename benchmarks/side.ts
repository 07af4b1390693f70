/** The two sides of the comparison, as the bench sees them: something that puts a program on a function. */
import type { BenchTarget } from './bench-target.ts';

export interface Side {
  readonly name: string;
  /** Loads `program` of the bench object with fresh maps and runs it at every call of `symbol` until disposed. */
  attach(program: string, target: BenchTarget, symbol: string): Attachment;
}

export interface Attachment extends Disposable {
  /** How long the target's threads stood still, in microseconds; undefined if the side does not stop them. */
  readonly pauseUs: number | undefined;
  /** The sum of all values of a map: how many hits a counting program counted. */
  sum(map: string): bigint;
}
