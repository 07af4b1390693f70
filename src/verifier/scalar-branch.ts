/**
 * What a comparison tells of both its sides: a row a condition. Of a condition that is false its opposite is true; what
 * contradicts itself does not happen. Linux kernel/bpf/verifier.c: regs_refine_cond_op, is_scalar_branch_taken.
 */
import type { JumpCondition, Width } from '../insn/form.ts';
import { ANY, constantOf, meet, type Scalar } from './scalar.ts';
import * as tnum from './tnum.ts';

/** Both sides, as they are where the condition holds; undefined if it cannot. */
export type Refined = readonly [left: Scalar, right: Scalar] | undefined;

/** `clear`: (left & right) is 0. */
type Condition = JumpCondition | 'clear';
type Rule = (a: Scalar, b: Scalar) => Refined;

const both = (a: Scalar | undefined, b: Scalar | undefined): Refined =>
  a === undefined || b === undefined ? undefined : [a, b];
const swapped =
  (rule: Rule): Rule =>
  (a, b) => {
    const refined = rule(b, a);
    return refined && [refined[1], refined[0]];
  };

const less: Readonly<Record<Width, Rule>> = {
  64: (a, b) => both(meet(a, { ...ANY, umax: b.umax - 1n }), meet(b, { ...ANY, umin: a.umin + 1n })),
  32: (a, b) => both(meet(a, { ...ANY, umax32: b.umax32 - 1 }), meet(b, { ...ANY, umin32: a.umin32 + 1 })),
};
const lessOrEqual: Readonly<Record<Width, Rule>> = {
  64: (a, b) => both(meet(a, { ...ANY, umax: b.umax }), meet(b, { ...ANY, umin: a.umin })),
  32: (a, b) => both(meet(a, { ...ANY, umax32: b.umax32 }), meet(b, { ...ANY, umin32: a.umin32 })),
};
const signedLess: Readonly<Record<Width, Rule>> = {
  64: (a, b) => both(meet(a, { ...ANY, smax: b.smax - 1n }), meet(b, { ...ANY, smin: a.smin + 1n })),
  32: (a, b) => both(meet(a, { ...ANY, smax32: b.smax32 - 1 }), meet(b, { ...ANY, smin32: a.smin32 + 1 })),
};
const signedLessOrEqual: Readonly<Record<Width, Rule>> = {
  64: (a, b) => both(meet(a, { ...ANY, smax: b.smax }), meet(b, { ...ANY, smin: a.smin })),
  32: (a, b) => both(meet(a, { ...ANY, smax32: b.smax32 }), meet(b, { ...ANY, smin32: a.smin32 })),
};

const RULES: Readonly<Record<Condition, Readonly<Record<Width, Rule>>>> = {
  jeq: {
    64: (a, b) => {
      const same = meet(a, b);
      return both(same, same);
    },
    32: (a, b) => both(meet(a, lowHalf(a, b)), meet(b, lowHalf(b, a))),
  },
  jne: {
    64: (a, b) => both(without(a, b), without(b, a)),
    32: (a, b) => both(withoutLow(a, b), withoutLow(b, a)),
  },
  jlt: less,
  jle: lessOrEqual,
  jgt: { 64: swapped(less[64]), 32: swapped(less[32]) },
  jge: { 64: swapped(lessOrEqual[64]), 32: swapped(lessOrEqual[32]) },
  jslt: signedLess,
  jsle: signedLessOrEqual,
  jsgt: { 64: swapped(signedLess[64]), 32: swapped(signedLess[32]) },
  jsge: { 64: swapped(signedLessOrEqual[64]), 32: swapped(signedLessOrEqual[32]) },
  jset: {
    64: (a, b) => both(withBit(a, b, 64), withBit(b, a, 64)),
    32: (a, b) => both(withBit(a, b, 32), withBit(b, a, 32)),
  },
  clear: {
    64: (a, b) => both(withoutBits(a, b, 64), withoutBits(b, a, 64)),
    32: (a, b) => both(withoutBits(a, b, 32), withoutBits(b, a, 32)),
  },
};

const OPPOSITE: Readonly<Record<JumpCondition, Condition>> = {
  jeq: 'jne',
  jne: 'jeq',
  jlt: 'jge',
  jge: 'jlt',
  jle: 'jgt',
  jgt: 'jle',
  jslt: 'jsge',
  jsge: 'jslt',
  jsle: 'jsgt',
  jsgt: 'jsle',
  jset: 'clear',
};

/** Of numbers that are known, and cut to the width: unsigned and as signed ones. */
const HOLDS: Readonly<Record<JumpCondition, (a: bigint, b: bigint, signedA: bigint, signedB: bigint) => boolean>> = {
  jeq: (a, b) => a === b,
  jne: (a, b) => a !== b,
  jlt: (a, b) => a < b,
  jle: (a, b) => a <= b,
  jgt: (a, b) => a > b,
  jge: (a, b) => a >= b,
  jslt: (_a, _b, a, b) => a < b,
  jsle: (_a, _b, a, b) => a <= b,
  jsgt: (_a, _b, a, b) => a > b,
  jsge: (_a, _b, a, b) => a >= b,
  jset: (a, b) => (a & b) !== 0n,
};

/** The sides of a comparison where it is true, and where it is not. At least one of both happens. */
export function branch(
  condition: JumpCondition,
  width: Width,
  a: Scalar,
  b: Scalar,
): { taken: Refined; passed: Refined } {
  if (a.bits.mask === 0n && b.bits.mask === 0n) {
    const [left, right] = [BigInt.asUintN(width, a.bits.value), BigInt.asUintN(width, b.bits.value)];
    const holds = HOLDS[condition](left, right, BigInt.asIntN(width, left), BigInt.asIntN(width, right));
    return holds ? { taken: [a, b], passed: undefined } : { taken: undefined, passed: [a, b] };
  }
  return { taken: RULES[condition][width](a, b), passed: RULES[OPPOSITE[condition]][width](a, b) };
}

/** What is known of the low half of `from`, to be met with `a`, whose high half it says nothing of. */
export function lowHalf(a: Scalar, from: Scalar): Scalar {
  const { umin32, umax32, smin32, smax32 } = from;
  const high = { value: a.bits.value & ~0xffff_ffffn, mask: a.bits.mask | 0xffff_ffffn };
  return { ...ANY, bits: tnum.withLow32(high, from.bits), umin32, umax32, smin32, smax32 };
}

/** `a`, if it is not the number that `b` is: an end of a range moves by one. */
function without(a: Scalar, b: Scalar): Scalar | undefined {
  const number = constantOf(b);
  if (number === undefined) return a;
  if (constantOf(a) === number) return undefined;
  const signed = BigInt.asIntN(64, number);
  return meet(a, {
    ...a,
    umin: a.umin === number ? number + 1n : a.umin,
    umax: a.umax === number ? number - 1n : a.umax,
    smin: a.smin === signed ? signed + 1n : a.smin,
    smax: a.smax === signed ? signed - 1n : a.smax,
  });
}

function withoutLow(a: Scalar, b: Scalar): Scalar | undefined {
  if (b.umin32 !== b.umax32) return a;
  const number = b.umin32;
  if (a.umin32 === number && a.umax32 === number) return undefined;
  const signed = number | 0;
  return meet(a, {
    ...a,
    umin32: a.umin32 === number ? number + 1 : a.umin32,
    umax32: a.umax32 === number ? number - 1 : a.umax32,
    smin32: a.smin32 === signed ? signed + 1 : a.smin32,
    smax32: a.smax32 === signed ? signed - 1 : a.smax32,
  });
}

/** The number that is tested with, as far as the width goes; undefined if it is not known. */
function testedBits(b: Scalar, width: Width): bigint | undefined {
  if (width === 64) return constantOf(b);
  return b.umin32 === b.umax32 ? BigInt(b.umin32) : undefined;
}

/** `a` with a bit in common with `b`: which one is known if there is only one. */
function withBit(a: Scalar, b: Scalar, width: Width): Scalar | undefined {
  const bits = testedBits(b, width);
  if (bits === undefined) return a;
  if (((a.bits.value | a.bits.mask) & bits) === 0n) return undefined;
  if ((bits & (bits - 1n)) !== 0n) return a;
  return meet(a, { ...ANY, bits: { value: bits, mask: tnum.U64_MAX & ~bits } });
}

/** `a` with none of the bits of `b`. */
function withoutBits(a: Scalar, b: Scalar, width: Width): Scalar | undefined {
  const bits = testedBits(b, width);
  return bits === undefined ? a : meet(a, { ...ANY, bits: { value: 0n, mask: tnum.U64_MAX & ~bits } });
}
