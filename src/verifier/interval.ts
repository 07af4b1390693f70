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

const BIT_32 = 0x1_0000_0000;
const BIT_64 = 0x1_0000_0000_0000_0000n;

export const ANY64: Bounds64 = { umin: 0n, umax: U64_MAX, smin: S64_MIN, smax: S64_MAX };
export const ANY32: Bounds32 = { umin32: 0, umax32: U32_MAX, smin32: S32_MIN, smax32: S32_MAX };

export const maxOf = (a: bigint, b: bigint): bigint => (a > b ? a : b);
export const minOf = (a: bigint, b: bigint): bigint => (a < b ? a : b);

/** What both cuts allow: each half of the circle for itself, then both together. Undefined if no number is left. */
export function reconcile64({ umin, umax, smin, smax }: Bounds64): Bounds64 | undefined {
  // Numbers whose highest bit is 0 are the same in both cuts; the others, as signed numbers, are 2^64 less.
  const low = { min: maxOf(umin, smin), max: minOf(umax, smax) };
  const high = { min: maxOf(umin - BIT_64, smin), max: minOf(umax - BIT_64, smax) };
  low.min = maxOf(low.min, 0n);
  low.max = minOf(low.max, S64_MAX);
  high.min = maxOf(high.min, S64_MIN);
  high.max = minOf(high.max, -1n);
  if (high.min > high.max) {
    if (low.min > low.max) return undefined;
    return { umin: low.min, umax: low.max, smin: low.min, smax: low.max };
  }
  if (low.min > low.max) return { umin: high.min + BIT_64, umax: high.max + BIT_64, smin: high.min, smax: high.max };
  return { umin: low.min, umax: high.max + BIT_64, smin: high.min, smax: low.max };
}

/** As `reconcile64`. */
export function reconcile32({ umin32, umax32, smin32, smax32 }: Bounds32): Bounds32 | undefined {
  const lowMin = Math.max(umin32, smin32, 0);
  const lowMax = Math.min(umax32, smax32, S32_MAX);
  const highMin = Math.max(umin32 - BIT_32, smin32, S32_MIN);
  const highMax = Math.min(umax32 - BIT_32, smax32, -1);
  if (highMin > highMax) {
    if (lowMin > lowMax) return undefined;
    return { umin32: lowMin, umax32: lowMax, smin32: lowMin, smax32: lowMax };
  }
  if (lowMin > lowMax) return { umin32: highMin + BIT_32, umax32: highMax + BIT_32, smin32: highMin, smax32: highMax };
  return { umin32: lowMin, umax32: highMax + BIT_32, smin32: highMin, smax32: lowMax };
}

/** What is known of the low halves of the numbers from `min` to `max`, unsigned or signed: nothing if they wrap. */
export function lowHalves(min: bigint, max: bigint): Partial<Bounds32> {
  if (max - min > 0xffff_ffffn) return {};
  const known: { -readonly [K in keyof Bounds32]?: number } = {};
  const umin32 = Number(BigInt.asUintN(32, min));
  const umax32 = Number(BigInt.asUintN(32, max));
  if (umin32 <= umax32) Object.assign(known, { umin32, umax32 });
  const smin32 = umin32 | 0;
  const smax32 = umax32 | 0;
  if (smin32 <= smax32) Object.assign(known, { smin32, smax32 });
  return known;
}

/** The smallest number from `min` on whose low half, in the given cut, lies from `low` to `high`. */
export function raise(min: bigint, low: number, high: number, half: (number: bigint) => bigint): bigint {
  const own = half(min);
  if (own < BigInt(low)) return min - own + BigInt(low);
  if (own > BigInt(high)) return min - own + BigInt(BIT_32) + BigInt(low);
  return min;
}

/** The largest number up to `max` whose low half, in the given cut, lies from `low` to `high`. */
export function lower(max: bigint, low: number, high: number, half: (number: bigint) => bigint): bigint {
  const own = half(max);
  if (own > BigInt(high)) return max - own + BigInt(high);
  if (own < BigInt(low)) return max - own - BigInt(BIT_32) + BigInt(high);
  return max;
}

/** The cuts of a low half. */
export const unsignedHalf = (number: bigint): bigint => BigInt.asUintN(32, number);
export const signedHalf = (number: bigint): bigint => BigInt.asIntN(32, number);
