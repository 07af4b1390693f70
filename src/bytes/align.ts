/** Rounding to powers of two, for layouts and page arithmetic. */

/** The next multiple of `alignment` (a power of two) at or above `value`; `value` below 2^53. */
export function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}

/** The next multiple of `alignment` (a power of two) at or above `value`. */
export function alignUpAddress(value: bigint, alignment: bigint): bigint {
  return (value + alignment - 1n) & ~(alignment - 1n);
}

/** The multiple of `alignment` (a power of two) at or below `value`. */
export function alignDownAddress(value: bigint, alignment: bigint): bigint {
  return value & ~(alignment - 1n);
}
