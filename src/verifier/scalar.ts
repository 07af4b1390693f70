/**
 * What is known of a 64-bit number that is no pointer: its bits, its range, and the range of its low half. All describe
 * the same set, and each fact has been told to the others. Immutable.
 */
import {
  ANY32,
  ANY64,
  type Bounds32,
  type Bounds64,
  lower,
  lowHalves,
  maxOf,
  minOf,
  raise,
  reconcile32,
  reconcile64,
  S32_MAX,
  S32_MIN,
  S64_MAX,
  S64_MIN,
  signedHalf,
  U32_MAX,
  U64_MAX,
  unsignedHalf,
} from './interval.ts';
import type { Tnum } from './tnum.ts';
import * as tnum from './tnum.ts';

export interface Scalar extends Bounds64, Bounds32 {
  readonly bits: Tnum;
}

/** Any number. */
export const ANY: Scalar = { bits: tnum.UNKNOWN, ...ANY64, ...ANY32 };

/** Exactly this number; both signed and unsigned 64-bit numbers are taken. */
export function constantScalar(number: bigint): Scalar {
  const umin = BigInt.asUintN(64, number);
  const smin = BigInt.asIntN(64, number);
  const umin32 = Number(BigInt.asUintN(32, number));
  const smin32 = umin32 | 0;
  return {
    bits: { value: umin, mask: 0n },
    umin,
    umax: umin,
    smin,
    smax: smin,
    umin32,
    umax32: umin32,
    smin32,
    smax32: smin32,
  };
}

/** The number, if there is only one; unsigned. */
export function constantOf({ bits }: Scalar): bigint | undefined {
  return bits.mask === 0n ? bits.value : undefined;
}

export function isConstant({ bits }: Scalar): boolean {
  return bits.mask === 0n;
}

/** What numbers loaded from memory are: `bytes` of them. */
export const LOADED: Readonly<Record<1 | 2 | 4 | 8, Scalar>> = {
  1: unsignedRange(0n, 0xffn),
  2: unsignedRange(0n, 0xffffn),
  4: unsignedRange(0n, 0xffff_ffffn),
  8: ANY,
};

/** As `LOADED`, sign-extended. */
export const LOADED_SIGNED: Readonly<Record<1 | 2 | 4 | 8, Scalar>> = {
  1: signedRange(-0x80n, 0x7fn),
  2: signedRange(-0x8000n, 0x7fffn),
  4: signedRange(-0x8000_0000n, 0x7fff_ffffn),
  8: ANY,
};

/** Numbers from `umin` to `umax`, unsigned. */
export function unsignedRange(umin: bigint, umax: bigint): Scalar {
  return deduce({ ...ANY, umin, umax })!;
}

/** Numbers from `smin` to `smax`, signed. */
export function signedRange(smin: bigint, smax: bigint): Scalar {
  return deduce({ ...ANY, smin, smax })!;
}

/** Tells each fact to the others until nothing new follows (two rounds do); undefined if no number fits all. */
export function deduce(facts: Scalar): Scalar | undefined {
  let known: Scalar | undefined = facts;
  for (let round = 0; round < 3; round++) {
    const next: Scalar | undefined = deduceOnce(known);
    if (next === undefined) return undefined;
    if (sameScalar(known, next)) return next;
    known = next;
  }
  return known;
}

function deduceOnce(facts: Scalar): Scalar | undefined {
  const from32 = boundsFromBits32(facts);
  const bounds32 = reconcile32(from32);
  if (bounds32 === undefined) return undefined;
  const bounds64 = reconcile64(boundsFromBits64(facts));
  if (bounds64 === undefined) return undefined;

  const halves = reconcile32(meet32(bounds32, bounds64));
  if (halves === undefined) return undefined;
  const whole = reconcile64(meetHalves(bounds64, halves));
  if (whole === undefined) return undefined;

  const bits = bitsFromBounds(facts.bits, whole, halves);
  return bits === undefined ? undefined : { bits, ...whole, ...halves };
}

function boundsFromBits64({ bits: { value, mask }, umin, umax, smin, smax }: Scalar): Bounds64 {
  const sign = mask & ~S64_MAX;
  return {
    umin: maxOf(umin, value),
    umax: minOf(umax, value | mask),
    // An unknown sign makes the smallest negative.
    smin: maxOf(smin, BigInt.asIntN(64, value | sign)),
    smax: minOf(smax, BigInt.asIntN(64, value | (mask & S64_MAX))),
  };
}

function boundsFromBits32({ bits, umin32, umax32, smin32, smax32 }: Scalar): Bounds32 {
  const value = Number(BigInt.asUintN(32, bits.value));
  const mask = Number(BigInt.asUintN(32, bits.mask));
  return {
    umin32: Math.max(umin32, value),
    umax32: Math.min(umax32, value + mask),
    smin32: Math.max(smin32, value | (mask & S32_MIN)),
    smax32: Math.min(smax32, value | (mask & S32_MAX)),
  };
}

function meet32(known: Bounds32, { umin, umax, smin, smax }: Bounds64): Bounds32 {
  if (umax - umin > 0xffff_ffffn && smax - smin > 0xffff_ffffn) return known;
  const unsigned = { ...ANY32, ...lowHalves(umin, umax) };
  const signed = { ...ANY32, ...lowHalves(smin, smax) };
  return {
    umin32: Math.max(known.umin32, unsigned.umin32, signed.umin32),
    umax32: Math.min(known.umax32, unsigned.umax32, signed.umax32),
    smin32: Math.max(known.smin32, unsigned.smin32, signed.smin32),
    smax32: Math.min(known.smax32, unsigned.smax32, signed.smax32),
  };
}

function meetHalves(known: Bounds64, { umin32, umax32, smin32, smax32 }: Bounds32): Bounds64 {
  if (umin32 === 0 && umax32 === U32_MAX && smin32 === S32_MIN && smax32 === S32_MAX) return known;
  let { umin, umax, smin, smax } = known;
  umin = raise(raise(umin, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
  umax = lower(lower(umax, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
  smin = raise(raise(smin, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
  smax = lower(lower(smax, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
  return { umin, umax, smin, smax };
}

function bitsFromBounds(known: Tnum, { umin, umax }: Bounds64, { umin32, umax32 }: Bounds32): Tnum | undefined {
  if (umin < 0n || umax > U64_MAX) return undefined;
  const whole = tnum.intersect(known, tnum.range(umin, umax));
  if (whole === undefined) return undefined;
  const half = tnum.intersect(tnum.low32(whole), tnum.range(BigInt(umin32), BigInt(umax32)));
  return half && tnum.withLow32(whole, half);
}

/** What is known if both are true; undefined if they contradict each other. */
export function meet(a: Scalar, b: Partial<Scalar>): Scalar | undefined {
  const bits = b.bits === undefined ? a.bits : tnum.intersect(a.bits, b.bits);
  if (bits === undefined) return undefined;
  if (bits.mask === a.bits.mask && !tightens(a, b)) return a;
  return deduce({
    bits,
    umin: b.umin === undefined ? a.umin : maxOf(a.umin, b.umin),
    umax: b.umax === undefined ? a.umax : minOf(a.umax, b.umax),
    smin: b.smin === undefined ? a.smin : maxOf(a.smin, b.smin),
    smax: b.smax === undefined ? a.smax : minOf(a.smax, b.smax),
    umin32: b.umin32 === undefined ? a.umin32 : Math.max(a.umin32, b.umin32),
    umax32: b.umax32 === undefined ? a.umax32 : Math.min(a.umax32, b.umax32),
    smin32: b.smin32 === undefined ? a.smin32 : Math.max(a.smin32, b.smin32),
    smax32: b.smax32 === undefined ? a.smax32 : Math.min(a.smax32, b.smax32),
  });
}

function tightens(a: Scalar, b: Partial<Scalar>): boolean {
  return (
    (b.umin !== undefined && b.umin > a.umin) ||
    (b.umax !== undefined && b.umax < a.umax) ||
    (b.smin !== undefined && b.smin > a.smin) ||
    (b.smax !== undefined && b.smax < a.smax) ||
    (b.umin32 !== undefined && b.umin32 > a.umin32) ||
    (b.umax32 !== undefined && b.umax32 < a.umax32) ||
    (b.smin32 !== undefined && b.smin32 > a.smin32) ||
    (b.smax32 !== undefined && b.smax32 < a.smax32)
  );
}

export function sameScalar(a: Scalar, b: Scalar): boolean {
  return (
    a === b ||
    (a.bits.value === b.bits.value &&
      a.bits.mask === b.bits.mask &&
      a.umin === b.umin &&
      a.umax === b.umax &&
      a.smin === b.smin &&
      a.smax === b.smax &&
      a.umin32 === b.umin32 &&
      a.umax32 === b.umax32 &&
      a.smin32 === b.smin32 &&
      a.smax32 === b.smax32)
  );
}

/** True if what is known of `b` implies `a`: every number that `b` may be, `a` may be. */
export function includesScalar(a: Scalar, b: Scalar): boolean {
  return (
    a === b ||
    (a.umin <= b.umin &&
      a.umax >= b.umax &&
      a.smin <= b.smin &&
      a.smax >= b.smax &&
      a.umin32 <= b.umin32 &&
      a.umax32 >= b.umax32 &&
      a.smin32 <= b.smin32 &&
      a.smax32 >= b.smax32 &&
      tnum.includes(a.bits, b.bits))
  );
}

/** True if a register that is described so may hold `number`, unsigned. */
export function scalarContains(scalar: Scalar, number: bigint): boolean {
  const signed = BigInt.asIntN(64, number);
  const half = Number(BigInt.asUintN(32, number));
  return (
    tnum.contains(scalar.bits, number) &&
    number >= scalar.umin &&
    number <= scalar.umax &&
    signed >= scalar.smin &&
    signed <= scalar.smax &&
    half >= scalar.umin32 &&
    half <= scalar.umax32 &&
    (half | 0) >= scalar.smin32 &&
    (half | 0) <= scalar.smax32
  );
}

/** As the kernel prints it: the number, or what is known of it. */
export function describeScalar(scalar: Scalar): string {
  const number = constantOf(scalar);
  if (number !== undefined) return String(BigInt.asIntN(64, number));
  const facts: string[] = [];
  const tell = (name: string, value: bigint | number, trivial: bigint | number): void => {
    if (value !== trivial) facts.push(`${name}=${value}`);
  };
  tell('smin', scalar.smin, S64_MIN);
  tell('smax', scalar.smax, S64_MAX);
  tell('umin', scalar.umin, 0n);
  tell('umax', scalar.umax, U64_MAX);
  tell('smin32', scalar.smin32, S32_MIN);
  tell('smax32', scalar.smax32, S32_MAX);
  tell('umin32', scalar.umin32, 0);
  tell('umax32', scalar.umax32, U32_MAX);
  const { value, mask } = scalar.bits;
  if (mask !== U64_MAX) facts.push(`var_off=(0x${value.toString(16)}; 0x${mask.toString(16)})`);
  return `scalar(${facts.join(',')})`;
}
