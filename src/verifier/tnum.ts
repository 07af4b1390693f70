/**
 * Tristate numbers: what is known of each of 64 bits. A bit of `mask` set means unknown; then it is 0 in `value`.
 * Source: Vishwanathan et al., "Sound, Precise, and Fast Abstract Interpretation with Tristate Numbers" (CGO 2022).
 */

export interface Tnum {
  readonly value: bigint;
  readonly mask: bigint;
}

export const U64_MAX = 0xffff_ffff_ffff_ffffn;
const U32_MAX = 0xffff_ffffn;

export const UNKNOWN: Tnum = { value: 0n, mask: U64_MAX };
const ZERO: Tnum = { value: 0n, mask: 0n };

export const constant = (value: bigint): Tnum => ({ value, mask: 0n });

/** The smallest tnum that holds every number from `min` to `max`: their common high bits are known. */
export function range(min: bigint, max: bigint): Tnum {
  const differ = min ^ max;
  if (differ > 0x7fff_ffff_ffff_ffffn) return UNKNOWN;
  const mask = (1n << BigInt(bitLength(differ))) - 1n;
  return { value: min & ~mask, mask };
}

/** What is in both; undefined if nothing is. */
export function intersect(a: Tnum, b: Tnum): Tnum | undefined {
  if (((a.value ^ b.value) & ~(a.mask | b.mask)) !== 0n) return undefined;
  const mask = a.mask & b.mask;
  return { value: (a.value | b.value) & ~mask, mask };
}

/** The smallest tnum that holds both. */
export function union(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask | (a.value ^ b.value);
  return { value: a.value & b.value & ~mask, mask };
}

/** True if every number of `b` is one of `a`. */
export function includes(a: Tnum, b: Tnum): boolean {
  return (b.mask & ~a.mask) === 0n && (b.value & ~a.mask) === a.value;
}

export function contains({ value, mask }: Tnum, number: bigint): boolean {
  return (number & ~mask) === value;
}

export function add(a: Tnum, b: Tnum): Tnum {
  const value = a.value + b.value;
  const carries = (a.mask + b.mask + value) ^ value;
  return truncate64(value, carries | a.mask | b.mask);
}

export function sub(a: Tnum, b: Tnum): Tnum {
  const value = BigInt.asUintN(64, a.value - b.value);
  const highest = BigInt.asUintN(64, value + a.mask);
  const lowest = BigInt.asUintN(64, value - b.mask);
  return truncate64(value, (highest ^ lowest) | a.mask | b.mask);
}

export function and(a: Tnum, b: Tnum): Tnum {
  const value = a.value & b.value;
  return { value, mask: (a.value | a.mask) & (b.value | b.mask) & ~value };
}

export function or(a: Tnum, b: Tnum): Tnum {
  const value = a.value | b.value;
  return { value, mask: (a.mask | b.mask) & ~value };
}

export function xor(a: Tnum, b: Tnum): Tnum {
  const mask = a.mask | b.mask;
  return { value: (a.value ^ b.value) & ~mask, mask };
}

/** Long multiplication: each bit of `a` adds `b` shifted, nothing, or, if it is unknown, one of them. */
export function mul(a: Tnum, b: Tnum): Tnum {
  if (a.mask === 0n && b.mask === 0n) return truncate64(a.value * b.value, 0n);
  let sum = ZERO;
  let addend = b;
  for (let { value, mask } = a; value !== 0n || mask !== 0n; value >>= 1n, mask >>= 1n) {
    if ((value & 1n) !== 0n) sum = add(sum, addend);
    else if ((mask & 1n) !== 0n) sum = union(sum, add(sum, addend));
    addend = shiftLeft(addend, 1n);
  }
  return sum;
}

export function shiftLeft({ value, mask }: Tnum, by: bigint): Tnum {
  return truncate64(value << by, mask << by);
}

export function shiftRight({ value, mask }: Tnum, by: bigint): Tnum {
  return { value: value >> by, mask: mask >> by };
}

/** Shifts the low `width` bits right; copies of the highest of them come in. The bits above are 0. */
export function shiftRightSigned({ value, mask }: Tnum, by: bigint, width: 32 | 64): Tnum {
  return {
    value: BigInt.asUintN(width, BigInt.asIntN(width, value) >> by),
    mask: BigInt.asUintN(width, BigInt.asIntN(width, mask) >> by),
  };
}

/** The low `bits` bits, sign-extended. */
export function signExtend({ value, mask }: Tnum, bits: number): Tnum {
  return {
    value: BigInt.asUintN(64, BigInt.asIntN(bits, value)),
    mask: BigInt.asUintN(64, BigInt.asIntN(bits, mask)),
  };
}

/** The low 32 bits; those above are 0. */
export function low32({ value, mask }: Tnum): Tnum {
  return { value: value & U32_MAX, mask: mask & U32_MAX };
}

/** The high bits of `a` over the low 32 of `b`. */
export function withLow32(a: Tnum, b: Tnum): Tnum {
  return { value: (a.value & ~U32_MAX) | (b.value & U32_MAX), mask: (a.mask & ~U32_MAX) | (b.mask & U32_MAX) };
}

/** How many bits a number below 2^64 needs. */
export function bitLength(number: bigint): number {
  const high = Number(number >> 32n);
  return high === 0 ? 32 - Math.clz32(Number(number & U32_MAX)) : 64 - Math.clz32(high);
}

/** By how many of the lowest bits are unknown. */
const LOWEST = Array.from({ length: 65 }, (_, count) => (1n << BigInt(count)) - 1n);

/** What is known besides of a number from `min` to `max`, unsigned: the high bits that these have in common. */
export function withRange(known: Tnum, min: bigint, max: bigint): Tnum | undefined {
  const differ = min ^ max;
  if (differ > 0x7fff_ffff_ffff_ffffn) return known;
  return withMask(known, min, LOWEST[bitLength(differ)]!);
}

/** As `withRange`, of a number whose low half lies from `min` to `max`; undefined if nothing is left, or was. */
export function withLowRange(known: Tnum | undefined, min: number, max: number): Tnum | undefined {
  const differ = (min ^ max) >>> 0;
  if (known === undefined || differ > 0x7fff_ffff) return known;
  return withMask(known, BigInt(min), LOWEST[32 - Math.clz32(differ)]! | ~U32_MAX);
}

/** `known`, and the bits of `value` outside of `mask`, which may be negative. */
function withMask(known: Tnum, value: bigint, mask: bigint): Tnum | undefined {
  const unknown = known.mask & mask;
  if (((known.value ^ value) & ~(known.mask | mask)) !== 0n) return undefined;
  return unknown === known.mask ? known : { value: (known.value | (value & ~mask)) & ~unknown, mask: unknown };
}

function truncate64(value: bigint, mask: bigint): Tnum {
  const unknown = BigInt.asUintN(64, mask);
  return { value: BigInt.asUintN(64, value) & ~unknown, mask: unknown };
}
