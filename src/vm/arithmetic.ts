/**
 * What the operators compute, straight from RFC 9669: the 64-bit ones on unsigned bigints, the 32-bit ones on unsigned
 * numbers. Both results wrap.
 */
import type { AluOperator, AtomicOperator, JumpCondition, Width } from '../insn/form.ts';

const wrap = (value: bigint): bigint => BigInt.asUintN(64, value);
const signed = (value: bigint): bigint => BigInt.asIntN(64, value);

/** Operands and result are 0 to 2^64-1. */
export const ALU_64: Readonly<Record<AluOperator, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => wrap(a + b),
  sub: (a, b) => wrap(a - b),
  mul: (a, b) => wrap(a * b),
  div: (a, b) => (b === 0n ? 0n : a / b),
  // The least number divided by -1 wraps to itself.
  sdiv: (a, b) => (b === 0n ? 0n : wrap(signed(a) / signed(b))),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  lsh: (a, b) => wrap(a << (b & 63n)),
  rsh: (a, b) => a >> (b & 63n),
  mod: (a, b) => (b === 0n ? a : a % b),
  smod: (a, b) => (b === 0n ? a : wrap(signed(a) % signed(b))),
  xor: (a, b) => a ^ b,
  mov: (_, b) => b,
  arsh: (a, b) => wrap(signed(a) >> (b & 63n)),
};

/** Operands are 0 to 2^32-1; the result counts modulo 2^32. JavaScript's shifts take their count modulo 32 already. */
export const ALU_32: Readonly<Record<AluOperator, (a: number, b: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => Math.imul(a, b),
  div: (a, b) => (b === 0 ? 0 : Math.floor(a / b)),
  sdiv: (a, b) => (b === 0 ? 0 : (a | 0) / (b | 0)),
  or: (a, b) => a | b,
  and: (a, b) => a & b,
  lsh: (a, b) => a << b,
  rsh: (a, b) => a >>> b,
  mod: (a, b) => (b === 0 ? a : a % b),
  smod: (a, b) => (b === 0 ? a : (a | 0) % (b | 0)),
  xor: (a, b) => a ^ b,
  mov: (_, b) => b,
  arsh: (a, b) => (a | 0) >> b,
};

/** What an atomic operation stores; cmpxchg compares first. */
export const ATOMIC: Readonly<Record<AtomicOperator, (old: bigint, operand: bigint) => bigint>> = {
  add: (old, operand) => old + operand,
  or: (old, operand) => old | operand,
  and: (old, operand) => old & operand,
  xor: (old, operand) => old ^ operand,
  xchg: (_, operand) => operand,
  cmpxchg: (_, operand) => operand,
};

type Comparison = (a: bigint, b: bigint) => boolean;

const equal: Comparison = (a, b) => a === b;
const unequal: Comparison = (a, b) => a !== b;
const greater: Comparison = (a, b) => a > b;
const greaterOrEqual: Comparison = (a, b) => a >= b;
const less: Comparison = (a, b) => a < b;
const lessOrEqual: Comparison = (a, b) => a <= b;

const UNSIGNED: Readonly<Partial<Record<JumpCondition, Comparison>>> = {
  jeq: equal,
  jne: unequal,
  jset: (a, b) => (a & b) !== 0n,
  jgt: greater,
  jge: greaterOrEqual,
  jlt: less,
  jle: lessOrEqual,
};

const SIGNED: Readonly<Partial<Record<JumpCondition, Comparison>>> = {
  jsgt: greater,
  jsge: greaterOrEqual,
  jslt: less,
  jsle: lessOrEqual,
};

/** The comparison of two registers that a branch makes. */
export function comparison(condition: JumpCondition, width: Width): Comparison {
  const plain = UNSIGNED[condition];
  if (plain !== undefined) return (a, b) => plain(BigInt.asUintN(width, a), BigInt.asUintN(width, b));
  const compare = SIGNED[condition]!;
  return (a, b) => compare(BigInt.asIntN(width, a), BigInt.asIntN(width, b));
}

/** The low `bits` of a value with their bytes in reverse order. */
export function swapBytes(value: bigint, bits: 16 | 32 | 64): bigint {
  let swapped = 0n;
  for (let shift = 0n; shift < bits; shift += 8n) swapped = (swapped << 8n) | ((value >> shift) & 0xffn);
  return swapped;
}
