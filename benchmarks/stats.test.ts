import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { spread } from './stats.ts';

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
