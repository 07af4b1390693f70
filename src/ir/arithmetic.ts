/**
 * What the pure operations of the IR compute, on numbers: the one definition that constant folding and the evaluator of
 * the tests share. Values go in and come out as unsigned 64-bit bigints.
 */
import type { BinaryOperator, Condition, UnaryOperator, Width } from './value.ts';

/** The result, or undefined where the IR leaves it open: division by zero and (minimum / -1). */
export function evaluateBinary(operator: BinaryOperator, width: Width, a: bigint, b: bigint): bigint | undefined {
  const result = BINARY[operator](BigInt.asUintN(width, a), BigInt.asUintN(width, b), width);
  return result === undefined ? undefined : BigInt.asUintN(width, result);
}

export function evaluateUnary(operator: UnaryOperator, width: Width, a: bigint): bigint {
  return BigInt.asUintN(width, UNARY[operator](a));
}

export function evaluateCompare(condition: Condition, width: Width, a: bigint, b: bigint): boolean {
  const extend = SIGNED_CONDITIONS.has(condition) ? BigInt.asIntN : BigInt.asUintN;
  return COMPARE[condition](extend(width, a), extend(width, b));
}

type BinaryRule = (a: bigint, b: bigint, width: Width) => bigint | undefined;

const BINARY: Readonly<Record<BinaryOperator, BinaryRule>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b, width) => a << shiftCount(b, width),
  shr: (a, b, width) => a >> shiftCount(b, width),
  sar: (a, b, width) => BigInt.asIntN(width, a) >> shiftCount(b, width),
  udiv: (a, b) => (b === 0n ? undefined : a / b),
  umod: (a, b) => (b === 0n ? undefined : a % b),
  sdiv: signedDivision((a, b) => a / b),
  smod: signedDivision((a, b) => a % b),
};

/** bigint division truncates towards zero, as idiv does. */
function signedDivision(divide: (a: bigint, b: bigint) => bigint): BinaryRule {
  return (a, b, width) => {
    const dividend = BigInt.asIntN(width, a);
    const divisor = BigInt.asIntN(width, b);
    const overflows = divisor === -1n && dividend === -(1n << BigInt(width - 1));
    return divisor === 0n || overflows ? undefined : divide(dividend, divisor);
  };
}

function shiftCount(count: bigint, width: Width): bigint {
  return count & BigInt(width - 1);
}

const UNARY: Readonly<Record<UnaryOperator, (a: bigint) => bigint>> = {
  neg: (a) => -a,
  zext8: (a) => BigInt.asUintN(8, a),
  zext16: (a) => BigInt.asUintN(16, a),
  zext32: (a) => BigInt.asUintN(32, a),
  sext8: (a) => BigInt.asIntN(8, a),
  sext16: (a) => BigInt.asIntN(16, a),
  sext32: (a) => BigInt.asIntN(32, a),
  bswap16: (a) => swapBytes(a, 2),
  bswap32: (a) => swapBytes(a, 4),
  bswap64: (a) => swapBytes(a, 8),
};

function swapBytes(a: bigint, count: number): bigint {
  let swapped = 0n;
  for (let i = 0; i < count; i++) swapped = (swapped << 8n) | ((a >> BigInt(8 * i)) & 0xffn);
  return swapped;
}

const SIGNED_CONDITIONS: ReadonlySet<Condition> = new Set(['slt', 'sle', 'sgt', 'sge'] as const);

const COMPARE: Readonly<Record<Condition, (a: bigint, b: bigint) => boolean>> = {
  eq: (a, b) => a === b,
  ne: (a, b) => a !== b,
  ult: (a, b) => a < b,
  ule: (a, b) => a <= b,
  ugt: (a, b) => a > b,
  uge: (a, b) => a >= b,
  slt: (a, b) => a < b,
  sle: (a, b) => a <= b,
  sgt: (a, b) => a > b,
  sge: (a, b) => a >= b,
  test: (a, b) => (a & b) !== 0n,
  ntest: (a, b) => (a & b) === 0n,
};
