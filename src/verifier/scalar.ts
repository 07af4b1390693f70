/**
 * What is known of a 64-bit number that is no pointer: its bits, its range, and the range of its low half. All describe
 * the same set, and each fact has been told to the others. Immutable.
 */
import {
  BIT_32,
  BIT_64,
  type Bounds32,
  type Bounds64,
  lower,
  maxOf,
  minOf,
  raise,
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

/** What is still to be told after so many rounds is left unsaid. */
const ROUNDS = 6;
const SIGN = -S64_MIN;
const LOW = BigInt(U32_MAX);

export interface Scalar extends Bounds64, Bounds32 {
  readonly bits: Tnum;
}

/** Any number. */
export const ANY: Scalar = {
  bits: tnum.UNKNOWN,
  umin: 0n,
  umax: U64_MAX,
  smin: S64_MIN,
  smax: S64_MAX,
  umin32: 0,
  umax32: U32_MAX,
  smin32: S32_MIN,
  smax32: S32_MAX,
};

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

/**
 * Tells each fact to the others until nothing new follows; undefined if no number fits all. Everything waits for this: it
 * works on plain variables, and looks first whether there is anything to tell.
 */
export function deduce(facts: Scalar): Scalar | undefined {
  let { bits, umin, umax, smin, smax, umin32, umax32, smin32, smax32 } = facts;
  for (let round = 0; round < ROUNDS; round++) {
    if (bits.mask !== U64_MAX) {
      const { value, mask } = bits;
      const most = value | mask;
      const isSignKnown = mask < SIGN;
      umin = maxOf(umin, value);
      umax = minOf(umax, most);
      // An unknown sign makes the smallest negative.
      smin = maxOf(smin, BigInt.asIntN(64, isSignKnown ? value : value | SIGN));
      smax = minOf(smax, BigInt.asIntN(64, isSignKnown ? most : most ^ SIGN));
      const value32 = Number(value & LOW);
      const mask32 = Number(mask & LOW);
      umin32 = Math.max(umin32, value32);
      umax32 = Math.min(umax32, value32 + mask32);
      smin32 = Math.max(smin32, value32 | (mask32 & S32_MIN));
      smax32 = Math.min(smax32, value32 | (mask32 & S32_MAX));
    }

    // Numbers whose highest bit is 0 are the same in both cuts of the circle; the others are 2^n less as signed ones.
    const noHigh32 = smin32 >= 0 || umax32 <= S32_MAX || smin32 + BIT_32 > umax32;
    const noLow32 = smax32 < 0 || umin32 > S32_MAX || umin32 > smax32;
    if (noHigh32) {
      umin32 = smin32 = Math.max(umin32, smin32);
      umax32 = smax32 = Math.min(umax32, smax32);
    } else if (noLow32) {
      smin32 = Math.max(umin32 - BIT_32, smin32);
      smax32 = Math.min(umax32 - BIT_32, smax32);
      umin32 = smin32 + BIT_32;
      umax32 = smax32 + BIT_32;
    }
    const noHigh = smin >= 0n || umax <= S64_MAX || BigInt.asUintN(64, smin) > umax;
    const noLow = smax < 0n || umin > S64_MAX || umin > smax;
    if (noHigh) {
      umin = smin = maxOf(umin, smin);
      umax = smax = minOf(umax, smax);
    } else if (noLow) {
      smin = maxOf(umin - BIT_64, smin);
      smax = minOf(umax - BIT_64, smax);
      umin = smin + BIT_64;
      umax = smax + BIT_64;
    }
    if ((noHigh32 && noLow32) || (noHigh && noLow)) return undefined;
    if (umin32 > umax32 || smin32 > smax32 || umin > umax || smin > smax) return undefined;

    // A short interval tells its low half.
    let isNew = false;
    const isShort = umax - umin <= LOW;
    if (isShort || smax - smin <= LOW) {
      const first = Number((isShort ? umin : smin) & LOW);
      const last = Number((isShort ? umax : smax) & LOW);
      if (first <= last && (first > umin32 || last < umax32)) {
        umin32 = Math.max(umin32, first);
        umax32 = Math.min(umax32, last);
        isNew = true;
      }
      if ((first | 0) <= (last | 0) && ((first | 0) > smin32 || (last | 0) < smax32)) {
        smin32 = Math.max(smin32, first | 0);
        smax32 = Math.min(smax32, last | 0);
        isNew = true;
      }
    }
    // The ends of an interval have low halves that may be.
    if (umin32 !== 0 || umax32 !== U32_MAX || smin32 !== S32_MIN || smax32 !== S32_MAX) {
      const low = raise(raise(umin, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
      const high = lower(lower(umax, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
      const least = raise(raise(smin, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
      const most = lower(lower(smax, umin32, umax32, unsignedHalf), smin32, smax32, signedHalf);
      if (low > umin || high < umax || least > smin || most < smax) {
        [umin, umax, smin, smax] = [low, high, least, most];
        isNew = true;
        if (umin > umax || smin > smax || umax < 0n || umin > U64_MAX) return undefined;
      }
    }

    const known = tnum.withLowRange(tnum.withRange(bits, umin, umax), umin32, umax32);
    if (known === undefined) return undefined;
    if (known !== bits) isNew = true;
    bits = known;
    if (!isNew) break;
  }
  return { bits, umin, umax, smin, smax, umin32, umax32, smin32, smax32 };
}

/** What is known if both are true; undefined if they contradict each other. */
export function meet(a: Scalar, b: Scalar): Scalar | undefined {
  const bits = b.bits.mask === U64_MAX ? a.bits : tnum.intersect(a.bits, b.bits);
  if (bits === undefined) return undefined;
  if (bits.mask === a.bits.mask && !tightens(a, b)) return a;
  return deduce({
    bits,
    umin: maxOf(a.umin, b.umin),
    umax: minOf(a.umax, b.umax),
    smin: maxOf(a.smin, b.smin),
    smax: minOf(a.smax, b.smax),
    umin32: Math.max(a.umin32, b.umin32),
    umax32: Math.min(a.umax32, b.umax32),
    smin32: Math.max(a.smin32, b.smin32),
    smax32: Math.min(a.smax32, b.smax32),
  });
}

function tightens(a: Scalar, b: Scalar): boolean {
  return (
    b.umin > a.umin ||
    b.umax < a.umax ||
    b.smin > a.smin ||
    b.smax < a.smax ||
    b.umin32 > a.umin32 ||
    b.umax32 < a.umax32 ||
    b.smin32 > a.smin32 ||
    b.smax32 < a.smax32
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

/** The bits alone, as the kernel prints them: the number, or what is known and which bits are not. */
export function describeBits({ bits: { value, mask } }: Scalar): string {
  const text = `0x${value.toString(16)}`;
  return mask === 0n ? (value === 0n ? '0' : text) : `(${text}; 0x${mask.toString(16)})`;
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
