/**
 * Intervals, each as two of the four facts that a scalar carries. One number of n bits lies on a circle: `unsigned` cuts
 * it at 0, `signed` in the middle. What one cut knows tightens the other.
 */

/** Both cuts of one circle of 64 bits; `umin` to `umax` unsigned, `smin` to `smax` signed, ends included. */
export interface Bounds64 {
  readonly umin: bigint;
  readonly umax: bigint;
  readonly smin: bigint;
  readonly smax: bigint;
}

/** The same of the low 32 bits. */
export interface Bounds32 {
  readonly umin32: number;
  readonly umax32: number;
  readonly smin32: number;
  readonly smax32: number;
}

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
export const S64_MIN = -0x8000_0000_0000_0000n;
export const S64_MAX = 0x7fff_ffff_ffff_ffffn;
export const U32_MAX = 0xffff_ffff;
export const S32_MIN = -0x8000_0000;
export const S32_MAX = 0x7fff_ffff;

export const BIT_32 = 0x1_0000_0000;
export const BIT_64 = 0x1_0000_0000_0000_0000n;

const LOW = BigInt(U32_MAX);

export const ANY64: Bounds64 = { umin: 0n, umax: U64_MAX, smin: S64_MIN, smax: S64_MAX };
export const ANY32: Bounds32 = { umin32: 0, umax32: U32_MAX, smin32: S32_MIN, smax32: S32_MAX };

export const maxOf = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const minOf = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** A cut of a low half, as a number. */
type Half = (low: number) => number;

/** The smallest number from `min` on whose low half, in the given cut, lies from `low` to `high`. */
export function raise(min: bigint, low: number, high: number, half: Half): bigint {
  const own = half(Number(min & LOW));
  if (own < low) return min + BigInt(low - own);
  return own > high ? min + BigInt(BIT_32 + low - own) : min;
}

/** The largest number up to `max` whose low half, in the given cut, lies from `low` to `high`. */
export function lower(max: bigint, low: number, high: number, half: Half): bigint {
  const own = half(Number(max & LOW));
  if (own > high) return max - BigInt(own - high);
  return own < low ? max - BigInt(own + BIT_32 - high) : max;
}

/** The cuts of a low half. */
export const unsignedHalf: Half = (low) => low;
export const signedHalf: Half = (low) => low | 0;
