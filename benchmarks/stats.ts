/** Minimum and median, which is all that is said of a series: the mean of a shared machine says how shared it was. */

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
