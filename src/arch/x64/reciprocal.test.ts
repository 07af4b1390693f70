import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { reciprocal } from './reciprocal.ts';

/** n / divisor, computed as the instructions do. */
function divide(n: bigint, divisor: bigint, bits: 32 | 64): bigint {
  const { multiplier, preShift, isLong, postShift } = reciprocal(divisor, bits);
  assert.equal(multiplier >> 64n, 0n);
  const high = ((n >> BigInt(preShift)) * multiplier) >> 64n;
  if (!isLong) return high >> BigInt(postShift);
  return (high + ((n - high) >> 1n)) >> BigInt(postShift - 1);
}

const isPowerOfTwo = (d: bigint) => (d & (d - 1n)) === 0n;

describe('reciprocal', () => {
  for (const bits of [32, 64] as const) {
    const limit = (1n << BigInt(bits)) - 1n;
    const number = fc.oneof(
      fc.bigInt(0n, limit),
      fc.bigInt(0n, 1000n),
      fc.bigInt(0n, 1000n).map((n) => limit - n),
    );
    it(`divides ${bits}-bit numbers exactly`, () => {
      const divisor = number.filter((d) => d > 2n && !isPowerOfTwo(d));
      fc.assert(
        fc.property(number, divisor, (n, d) => {
          for (const near of [n, n - (n % d), n - (n % d) - 1n, limit - (limit % d), limit]) {
            if (near >= 0n) assert.equal(divide(near, d, bits), near / d);
          }
        }),
        { numRuns: 2000 },
      );
    });
  }

  it('needs no shift before or 65th bit for most divisors, one of them for some', () => {
    assert.deepEqual(reciprocal(10n, 64), {
      multiplier: 0xcccc_cccc_cccc_cccdn,
      preShift: 0,
      isLong: false,
      postShift: 3,
    });
    assert.equal(reciprocal(7n, 64).isLong, true);
    assert.equal(reciprocal(14n, 64).preShift, 1);
  });
});
