/**
 * Unsigned division by a number known now, as a multiplication that keeps the high half: 4 cycles instead of 20 to 90.
 * Source: Granlund, Montgomery, "Division by Invariant Integers using Multiplication" (1994), sections 4 and 6.
 */

/** How n / divisor is computed, with high(x) being the upper 64 bits of x * multiplier. */
export interface Reciprocal {
  readonly multiplier: bigint;
  /** n is shifted right by this before. */
  readonly preShift: number;
  /** The multiplier has a 65th bit, which is 1: with h = high(n), the result is (h + (n - h) / 2) >> (postShift - 1). */
  readonly isLong: boolean;
  /** high(n) is shifted right by this behind. */
  readonly postShift: number;
}

/**
 * @param divisor at least 3, not a power of two
 * @param bits n and divisor are below 2^bits
 */
export function reciprocal(divisor: bigint, bits: 32 | 64): Reciprocal {
  // Below 2^32 the rounding error of 1/divisor in 64 bits cannot reach the next integer.
  if (bits === 32) return { multiplier: (1n << 64n) / divisor + 1n, preShift: 0, isLong: false, postShift: 0 };
  const direct = chooseMultiplier(divisor, 64);
  if (direct.multiplier >> 64n === 0n) return { ...direct, preShift: 0, isLong: false };
  let preShift = 0;
  while ((divisor >> BigInt(preShift)) % 2n === 0n) preShift++;
  if (preShift > 0) {
    return { ...chooseMultiplier(divisor >> BigInt(preShift), 64 - preShift), preShift, isLong: false };
  }
  return { ...direct, multiplier: BigInt.asUintN(64, direct.multiplier), preShift: 0, isLong: true };
}

/** The smallest multiplier and shift that are right for all n of `precision` bits. */
function chooseMultiplier(divisor: bigint, precision: number): { multiplier: bigint; postShift: number } {
  let postShift = (divisor - 1n).toString(2).length;
  let low = (1n << BigInt(64 + postShift)) / divisor;
  let high = ((1n << BigInt(64 + postShift)) + (1n << BigInt(64 + postShift - precision))) / divisor;
  while (low >> 1n < high >> 1n && postShift > 0) {
    low >>= 1n;
    high >>= 1n;
    postShift--;
  }
  return { multiplier: high, postShift };
}
