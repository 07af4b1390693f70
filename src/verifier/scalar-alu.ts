/**
 * What arithmetic makes of numbers of which only something is known: a row an operator. Each row says what it does to
 * bits, to 64-bit and to 32-bit ranges, for itself; the rest is deduced. As precise as Linux kernel/bpf/verifier.c
 * (adjust_scalar_min_max_vals), which programs are written against.
 */
import type { AluOperator, Width } from '../insn/form.ts';
import {
  ANY32,
  ANY64,
  type Bounds32,
  type Bounds64,
  maxOf,
  minOf,
  S32_MIN,
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
  ranges64(a: Scalar, b: Scalar): Partial<Bounds64>;
  ranges32(a: Scalar, b: Scalar): Partial<Bounds32>;
}

type Unsigned64 = Pick<Bounds64, 'umin' | 'umax'>;
type Unsigned32 = Pick<Bounds32, 'umin32' | 'umax32'>;

const BIT_32 = 0x1_0000_0000;
const BIT_64 = 0x1_0000_0000_0000_0000n;

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
    ranges64: (a, b) => ({ umax: minOf(a.umax, b.umax) }),
    ranges32: (a, b) => ({ umax32: Math.min(a.umax32, b.umax32) }),
  },
  or: {
    bits: tnum.or,
    ranges64: (a, b) => ({ umin: maxOf(a.umin, b.umin) }),
    ranges32: (a, b) => ({ umin32: Math.max(a.umin32, b.umin32) }),
  },
  xor: { bits: tnum.xor, ranges64: () => ({}), ranges32: () => ({}) },
  lsh: shift({
    bits: tnum.shiftLeft,
    ranges64: shiftedLeft64,
    ranges32: (a, by) => shiftedLeft32(a, Number(by)),
  }),
  rsh: shift({
    bits: tnum.shiftRight,
    ranges64: (a, by) => ({ umin: a.umin >> by, umax: a.umax >> by }),
    ranges32: (a, by) => ({ umin32: a.umin32 >>> Number(by), umax32: a.umax32 >>> Number(by) }),
  }),
  arsh: shift({
    bits: tnum.shiftRightSigned,
    ranges64: (a, by) => ({ smin: a.smin >> by, smax: a.smax >> by }),
    ranges32: (a, by) => ({ smin32: a.smin32 >> Number(by), smax32: a.smax32 >> Number(by) }),
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
    return deduce(facts(bits, NOTHING, row.ranges32(a, b))) ?? LOADED[4];
  }
  const bits = row.bits(a.bits, b.bits, 64);
  if (bits.mask === 0n) return constantScalar(bits.value);
  return deduce(facts(bits, row.ranges64(a, b), isShift(operator) ? NOTHING : row.ranges32(a, b))) ?? ANY;
}

const NOTHING = {};

/** Spelled out, since it is what everything waits for. */
function facts(bits: Tnum, known64: Partial<Bounds64>, known32: Partial<Bounds32>): Scalar {
  return {
    bits,
    umin: known64.umin ?? ANY64.umin,
    umax: known64.umax ?? ANY64.umax,
    smin: known64.smin ?? ANY64.smin,
    smax: known64.smax ?? ANY64.smax,
    umin32: known32.umin32 ?? ANY32.umin32,
    umax32: known32.umax32 ?? ANY32.umax32,
    smin32: known32.smin32 ?? ANY32.smin32,
    smax32: known32.smax32 ?? ANY32.smax32,
  };
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
  return deduce(
    facts({ value: reversed(low.bits.value, bits), mask: reversed(low.bits.mask, bits) }, NOTHING, NOTHING),
  )!;
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
  ranges64(a: Scalar, by: bigint): Partial<Bounds64>;
  ranges32(a: Scalar, by: bigint): Partial<Bounds32>;
}): Row {
  return {
    bits: (a, by, width) => row.bits(a, by.value, width),
    ranges64: (a, by) => row.ranges64(a, by.umin),
    ranges32: (a, by) => row.ranges32(a, by.umin),
  };
}

/** Results from `umin` to `umax` and from `smin` to `smax`, before they wrap: kept where both ends wrap equally often. */
function wrapped64(umin: bigint, umax: bigint, smin: bigint, smax: bigint): Partial<Bounds64> {
  const unsigned = unsigned64(umin, umax);
  if (smax - smin >= BIT_64) return unsigned;
  const low = BigInt.asIntN(64, smin);
  const high = BigInt.asIntN(64, smax);
  return low <= high ? { ...unsigned, smin: low, smax: high } : unsigned;
}

function unsigned64(umin: bigint, umax: bigint): Partial<Unsigned64> {
  if (umax - umin >= BIT_64) return {};
  const low = BigInt.asUintN(64, umin);
  const high = BigInt.asUintN(64, umax);
  return low <= high ? { umin: low, umax: high } : {};
}

function wrapped32(umin: number, umax: number, smin: number, smax: number): Partial<Bounds32> {
  const unsigned = unsigned32(umin, umax);
  if (smax - smin >= BIT_32) return unsigned;
  const low = smin | 0;
  const high = smax | 0;
  return low <= high ? { ...unsigned, smin32: low, smax32: high } : unsigned;
}

function unsigned32(umin: number, umax: number): Partial<Unsigned32> {
  if (umax - umin >= BIT_32) return {};
  const low = umin >>> 0;
  const high = umax >>> 0;
  return low <= high ? { umin32: low, umax32: high } : {};
}

function products64(a: Scalar, b: Scalar): Partial<Bounds64> {
  const umax = a.umax * b.umax;
  const unsigned = umax <= U64_MAX ? { umin: a.umin * b.umin, umax } : {};
  const corners = [a.smin * b.smin, a.smin * b.smax, a.smax * b.smin, a.smax * b.smax];
  const smin = corners.reduce(minOf);
  const smax = corners.reduce(maxOf);
  return smin >= S64_MIN && smax <= -S64_MIN - 1n ? { ...unsigned, smin, smax } : unsigned;
}

/** Products of two 32-bit numbers do not fit 53 bits. */
function products32(a: Scalar, b: Scalar): Partial<Bounds32> {
  const umax = BigInt(a.umax32) * BigInt(b.umax32);
  const unsigned = umax <= BigInt(U32_MAX) ? { umin32: a.umin32 * b.umin32, umax32: Number(umax) } : {};
  const corners = [a.smin32, a.smax32].flatMap((x) => [x * b.smin32, x * b.smax32]);
  const smin32 = Math.min(...corners);
  const smax32 = Math.max(...corners);
  // Rounded or not, a product that is too large stays too large.
  return smin32 >= S32_MIN && smax32 < -S32_MIN ? { ...unsigned, smin32: smin32 | 0, smax32: smax32 | 0 } : unsigned;
}

function shiftedLeft64(a: Scalar, by: bigint): Partial<Bounds64> {
  const umax = a.umax << by;
  const unsigned = umax <= U64_MAX ? { umin: a.umin << by, umax } : {};
  // With a shift back to the right this is how compilers extend the sign of a low half.
  if (by === 32n) return { ...unsigned, smin: BigInt(a.smin32) << by, smax: BigInt(a.smax32) << by };
  return unsigned;
}

function shiftedLeft32(a: Scalar, by: number): Partial<Bounds32> {
  const umax32 = a.umax32 * 2 ** by;
  return umax32 <= U32_MAX ? { umin32: a.umin32 * 2 ** by, umax32 } : {};
}
