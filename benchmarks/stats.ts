/** Minimum and median, and how sure that one is: the mean of a shared machine says how shared it was. */

export interface Spread {
  readonly min: number;
  readonly median: number;
}

/** @throws RangeError for no samples */
export function spread(samples: readonly number[]): Spread {
  if (samples.length === 0) throw new RangeError('no samples');
  const sorted = samples.toSorted((a, b) => a - b);
  return { min: sorted[0]!, median: sorted[sorted.length >> 1]! };
}

/** A median, and between what it lies in 95 of 100 cases. */
export interface Interval {
  readonly median: number;
  readonly from: number;
  readonly to: number;
}

/** Chance that the median lies below the interval; above it the same. */
const DOUBT = 0.025;

/**
 * Whatever the samples are like: each is below their true median by a coin's throw, so ranks of the sorted series bound it.
 * Of fewer than six samples not even all of them are enough: the interval has no ends then.
 *
 * @throws RangeError for no samples
 */
export function medianInterval(samples: readonly number[]): Interval {
  const { median } = spread(samples);
  const sorted = samples.toSorted((a, b) => a - b);
  const count = sorted.length;
  let rank = 0;
  // Of that at most `rank` of them are below.
  let throws = 2 ** -count;
  for (let chance = throws; chance <= DOUBT; chance += throws) {
    rank++;
    throws *= (count - rank + 1) / rank;
  }
  if (rank === 0) return { median, from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
  return { median, from: sorted[rank - 1]!, to: sorted[count - rank]! };
}
