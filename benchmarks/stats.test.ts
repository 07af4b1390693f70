import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { medianInterval, spread } from './stats.ts';

describe('spread', () => {
  for (const [what, samples, min, median] of [
    ['one sample', [7], 7, 7],
    ['an odd count', [9, 1, 5], 1, 5],
    ['numbers, not their text', [10, 9, 100], 9, 10],
    ['an even count: the upper middle', [4, 1, 3, 2], 1, 3],
  ] as const) {
    it(`takes ${what}`, () => {
      assert.deepEqual(spread(samples), { min, median });
    });
  }

  it('refuses an empty series', () => {
    assert.throws(() => spread([]), RangeError);
  });
});

describe('medianInterval', () => {
  const upTo = (count: number): readonly number[] => Array.from({ length: count }, (_, n) => count - n);

  // Ranks: Conover, Practical Nonparametric Statistics, 3rd edition, table A3 (the binomial distribution, p = 0.5).
  for (const [count, from, to] of [
    [6, 1, 6],
    [8, 1, 8],
    [9, 2, 8],
    [14, 3, 12],
    [20, 6, 15],
  ] as const) {
    it(`lies from the ${from}th to the ${to}th of ${count} samples`, () => {
      assert.deepEqual(medianInterval(upTo(count)), { median: (count >> 1) + 1, from, to });
    });
  }

  it('has no ends where there are too few', () => {
    assert.deepEqual(medianInterval(upTo(5)), { median: 3, from: -Infinity, to: Infinity });
  });
});
