/**
 * What arithmetic makes of numbers of which only something is known: a row an operator. Each row says what it does to
 * bits, to 64-bit and to 32-bit ranges, for itself; the rest is deduced. As precise as Linux kernel/bpf/verifier.c
 * (adjust_scalar_min_max_vals), which programs are written against.
 */
import type { AluOperator, Width } from '../insn/form.ts';
import {
  ANY32,
  ANY64,
  BIT_32,
  BIT_64,
  type Bounds32,
  type Bounds64,
  maxOf,
  minOf,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  U32_MAX,
  U64_MAX,
} from './interval.ts';
import { ANY, constantOf, constantScalar, deduce, LOADED, type Scalar, signedRange } from './scalar.ts';
import type { Tnum } from './tnum.ts';
import * as tnum from './tnum.ts';

/** One operator; `ranges` of width 32 see the low halves as numbers of that width. */
interface Row {
  bits(a: Tnum, b: Tnum, width: Width): Tnum;
  ranges64(a: Scalar, b: Scalar): Bounds64;
  ranges32(a: Scalar, b: Scalar): Bounds32;
}

/** Operators of which nothing is known but that they give numbers. */
const OPAQUE = undefined;

/** Those that are not here either need no row (mov) or promise nothing. */
const ROWS: Readonly<Record<Exclude<AluOperator, 'mov'>, Row | undefined>> = {
  add: {
    bits: tnum.add,
    ranges64: (a, b) => wrapped64(a.umin + b.umin, a.umax + b.umax, a.smin + b.smin, a.smax + b.smax),
    ranges32: (a, b) => wrapped32(a.umin32 + b.umin32, a.umax32 + b.umax32, a.smin32 + b.smin32, a.smax32 + b.smax32),
  },
  sub: {
    bits: tnum.sub,
    ranges64: (a, b) => wrapped64(a.umin - b.umax, a.umax - b.umin, a.smin - b.smax, a.smax - b.smin),
    ranges32: (a, b) => wrapped32(a.umin32 - b.umax32, a.umax32 - b.umin32, a.smin32 - b.smax32, a.smax32 - b.smin32),
  },
  mul: { bits: tnum.mul, ranges64: products64, ranges32: products32 },
  and: {
    bits: tnum.and,
    ranges64: (a, b) => ({ ...ANY64, umax: minOf(a.umax, b.umax) }),
    ranges32: (a, b) => ({ ...ANY32, umax32: Math.min(a.umax32, b.umax32) }),
  },
  or: {
    bits: tnum.or,
    ranges64: (a, b) => ({ ...ANY64, umin: maxOf(a.umin, b.umin) }),
    ranges32: (a, b) => ({ ...ANY32, umin32: Math.max(a.umin32, b.umin32) }),
  },
  xor: { bits: tnum.xor, ranges64: () => ANY64, ranges32: () => ANY32 },
  lsh: shift({
    bits: tnum.shiftLeft,
    ranges64: shiftedLeft64,
    ranges32: (a, by) => shiftedLeft32(a, Number(by)),
  }),
  rsh: shift({
    bits: tnum.shiftRight,
    ranges64: (a, by) => ({ ...ANY64, umin: a.umin >> by, umax: a.umax >> by }),
    ranges32: (a, by) => ({ ...ANY32, umin32: a.umin32 >>> Number(by), umax32: a.umax32 >>> Number(by) }),
  }),
  arsh: shift({
    bits: tnum.shiftRightSigned,
    ranges64: (a, by) => ({ ...ANY64, smin: a.smin >> by, smax: a.smax >> by }),
    ranges32: (a, by) => ({ ...ANY32, smin32: a.smin32 >> Number(by), smax32: a.smax32 >> Number(by) }),
  }),
  div: OPAQUE,
  sdiv: OPAQUE,
  mod: OPAQUE,
  smod: OPAQUE,
};

/** What `a OPERATOR b` may be. */
export function compute(operator: Exclude<AluOperator, 'mov'>, width: Width, a: Scalar, b: Scalar): Scalar {
  const row = ROWS[operator];
  if (row === undefined) return ANY;
  // Shifting by as much as the width, or by what is not known, promises nothing.
  if (isShift(operator) && (b.umax !== b.umin || b.umin >= BigInt(width))) return ANY;
  if (width === 32) {
    const bits = tnum.low32(row.bits(tnum.low32(a.bits), tnum.low32(b.bits), 32));
    if (bits.mask === 0n) return constantScalar(bits.value);
    return deduce(facts(bits, ANY64, row.ranges32(a, b))) ?? LOADED[4];
  }
  const bits = row.bits(a.bits, b.bits, 64);
  if (bits.mask === 0n) return constantScalar(bits.value);
  return deduce(facts(bits, row.ranges64(a, b), isShift(operator) ? ANY32 : row.ranges32(a, b))) ?? ANY;
}

/** Spelled out, since it is what everything waits for. */
function facts(bits: Tnum, { umin, umax, smin, smax }: Bounds64, { umin32, umax32, smin32, smax32 }: Bounds32): Scalar {
  return { bits, umin, umax, smin, smax, umin32, umax32, smin32, smax32 };
}

/** 0 - a. */
export function negate(width: Width, a: Scalar): Scalar {
  return compute('sub', width, constantScalar(0n), a);
}

/** The low half, with zeros above. */
export function zeroExtended(a: Scalar): Scalar {
  if (a.umax <= 0xffff_ffffn) return a;
  const number = constantOf(a);
  if (number !== undefined) return constantScalar(number & 0xffff_ffffn);
  const { umin32, umax32, smin32, smax32 } = a;
  const bits = tnum.low32(a.bits);
  return deduce({ ...ANY, bits, umin32, umax32, smin32, smax32 }) ?? LOADED[4];
}

/** The low `size` bytes, with zeros above. */
export function truncated(a: Scalar, size: 1 | 2 | 4 | 8): Scalar {
  if (size === 8) return a;
  if (size === 4) return zeroExtended(a);
  const mask = (1n << BigInt(size * 8)) - 1n;
  return a.umax <= mask ? a : compute('and', 64, a, constantScalar(mask));
}

/** The low `bits` bits in that byte order, with zeros above. */
export function reordered(a: Scalar, order: 'le' | 'be' | 'swap', bits: 16 | 32 | 64): Scalar {
  const low = truncated(a, (bits / 8) as 2 | 4 | 8);
  if (order === 'le') return low;
  return deduce(facts({ value: reversed(low.bits.value, bits), mask: reversed(low.bits.mask, bits) }, ANY64, ANY32))!;
}

function reversed(number: bigint, bits: number): bigint {
  let result = 0n;
  for (let byte = 0; byte < bits; byte += 8) result = (result << 8n) | ((number >> BigInt(byte)) & 0xffn);
  return result;
}

/** The low `bits` bits as a signed number of `width` bits, with zeros above. */
export function signExtended(a: Scalar, bits: 8 | 16 | 32, width: Width): Scalar {
  const min = BigInt.asIntN(bits, a.smin);
  const max = BigInt.asIntN(bits, a.smax);
  const small = BigInt.asIntN(bits, BigInt(a.smin32));
  const large = BigInt.asIntN(bits, BigInt(a.smax32));
  const size = 1n << BigInt(bits);
  let range = signedRange(-size / 2n, size / 2n - 1n);
  if (a.smax - a.smin < size && min <= max) range = signedRange(min, max);
  else if (BigInt(a.smax32 - a.smin32) < size && small <= large) range = signedRange(small, large);
  const wide =
    deduce({ ...range, bits: tnum.intersect(range.bits, tnum.signExtend(a.bits, bits)) ?? range.bits }) ?? range;
  return width === 64 ? wide : zeroExtended(wide);
}

function isShift(operator: AluOperator): boolean {
  return operator === 'lsh' || operator === 'rsh' || operator === 'arsh';
}

/** A row whose right side is one number below the width. */
function shift(row: {
  bits(a: Tnum, by: bigint, width: Width): Tnum;
  ranges64(a: Scalar, by: bigint): Bounds64;
  ranges32(a: Scalar, by: bigint): Bounds32;
}): Row {
  return {
    bits: (a, by, width) => row.bits(a, by.value, width),
    ranges64: (a, by) => row.ranges64(a, by.umin),
    ranges32: (a, by) => row.ranges32(a, by.umin),
  };
}

/** Results from `umin` to `umax` and from `smin` to `smax`, before they wrap: kept where both ends wrap equally often. */
function wrapped64(umin: bigint, umax: bigint, smin: bigint, smax: bigint): Bounds64 {
  const first = BigInt.asUintN(64, umin);
  const last = BigInt.asUintN(64, umax);
  const least = BigInt.asIntN(64, smin);
  const most = BigInt.asIntN(64, smax);
  const isUnsigned = first <= last && umax - umin < BIT_64;
  const isSigned = least <= most && smax - smin < BIT_64;
  return {
    umin: isUnsigned ? first : 0n,
    umax: isUnsigned ? last : U64_MAX,
    smin: isSigned ? least : S64_MIN,
    smax: isSigned ? most : S64_MAX,
  };
}

function wrapped32(umin: number, umax: number, smin: number, smax: number): Bounds32 {
  const isUnsigned = umin >>> 0 <= umax >>> 0 && umax - umin < BIT_32;
  const isSigned = (smin | 0) <= (smax | 0) && smax - smin < BIT_32;
  return {
    umin32: isUnsigned ? umin >>> 0 : 0,
    umax32: isUnsigned ? umax >>> 0 : U32_MAX,
    smin32: isSigned ? smin | 0 : S32_MIN,
    smax32: isSigned ? smax | 0 : S32_MAX,
  };
}

function products64(a: Scalar, b: Scalar): Bounds64 {
  const most = a.umax * b.umax;
  const corners = [a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax];
  const smin = corners.reduce(minOf);
  const smax = corners.reduce(maxOf);
  const isSigned = smin >= S64_MIN && smax <= S64_MAX;
  return {
    umin: most <= U64_MAX ? a.umin * b.umin : 0n,
    umax: minOf(most, U64_MAX),
    smin: isSigned ? smin : S64_MIN,
    smax: isSigned ? smax : S64_MAX,
  };
}

/** Products of two 32-bit numbers do not fit 53 bits. Rounded or not, one that is too large stays too large. */
function products32(a: Scalar, b: Scalar): Bounds32 {
  const most = a.umax32 * b.umax32;
  const corners = [a.smin32 * b.smin32, a.smin32 * b.smax32, a.smax32 * b.smin32, a.smax32 * b.smax32];
  const smin32 = Math.min(...corners);
  const smax32 = Math.max(...corners);
  const isSigned = smin32 >= S32_MIN && smax32 <= S32_MAX;
  return {
    umin32: most <= U32_MAX ? a.umin32 * b.umin32 : 0,
    umax32: Math.min(most, U32_MAX),
    smin32: isSigned ? smin32 | 0 : S32_MIN,
    smax32: isSigned ? smax32 | 0 : S32_MAX,
  };
}

function shiftedLeft64(a: Scalar, by: bigint): Bounds64 {
  const most = a.umax << by;
  // With a shift back to the right this is how compilers extend the sign of a low half.
  const isHalf = by === 32n;
  return {
    umin: most <= U64_MAX ? a.umin << by : 0n,
    umax: minOf(most, U64_MAX),
    smin: isHalf ? BigInt(a.smin32) << by : S64_MIN,
    smax: isHalf ? BigInt(a.smax32) << by : S64_MAX,
  };
}

function shiftedLeft32(a: Scalar, by: number): Bounds32 {
  const most = a.umax32 * 2 ** by;
  return { ...ANY32, umin32: most <= U32_MAX ? a.umin32 * 2 ** by : 0, umax32: Math.min(most, U32_MAX) };
}
