/**
 * Local rules: an operation whose operands say more than its name becomes a simpler one. Each rule looks at one value
 * and a little way up its operands; numbering.ts applies them to every value in turn.
 */
import { evaluateBinary, evaluateUnary } from '../arithmetic.ts';
import { INVERSE, SWAPPED } from '../conditions.ts';
import type { BinaryOperator, Condition, Operation, UnaryOperator, Value, Width } from '../value.ts';
import { bitsUpTo, compareRanges, type Range } from './ranges.ts';

/** What the rules may ask of the pass that applies them. */
export interface Simplifier {
  /** The value of this operation here: an equal one that is there already, a simpler one, or a new one. */
  make(operation: Operation, args: readonly Value[]): Value;
  range(value: Value): Range;
  /** True if the value under simplification is the only one that uses this operand. */
  usedOnce(value: Value): boolean;
}

/** A value equal to this one and simpler; undefined if no rule knows any. Operands are simplified already. */
export function simplify(s: Simplifier, { operation, args }: Value): Value | undefined {
  const [a, b, c] = args;
  switch (operation.op) {
    case 'binary':
      return simplifyBinary(s, operation, a!, b!);
    case 'unary':
      return simplifyUnary(s, operation, a!);
    case 'compare':
      return simplifyCompare(s, operation, a!, b!);
    case 'select':
      return simplifySelect(s, a!, b!, c!);
    case 'site':
      return operation.source.in === 'constant' ? number(s, operation.source.value) : undefined;
    default:
      return undefined;
  }
}

type Binary = Extract<Operation, { op: 'binary' }>;
type Unary = Extract<Operation, { op: 'unary' }>;
type Compare = Extract<Operation, { op: 'compare' }>;

/** A number, if the value is one. */
export function constantOf({ operation }: Value): bigint | undefined {
  return operation.op === 'const' ? operation.value : undefined;
}

/** Whether a branch on this condition is taken, if that is known. */
export function truthOf(range: Range): boolean | undefined {
  if (range.min > 0n) return true;
  return range.max === 0n ? false : undefined;
}

/** Strips operations that leave the low `bits` of their operand as they are: for users that read no more. */
export function lowBits(value: Value, bits: number): Value {
  const { operation, args } = value;
  if (operation.op === 'unary' && (KEPT_BITS[operation.operator] ?? 0) >= bits && operation.width >= bits) {
    return lowBits(args[0]!, bits);
  }
  if (operation.op === 'binary' && operation.operator === 'and' && operation.width >= bits) {
    const mask = constantOf(args[1]!);
    if (mask !== undefined && BigInt.asUintN(bits, ~mask) === 0n) return lowBits(args[0]!, bits);
  }
  return value;
}

/** How many low bits of its operand an extension keeps. */
const KEPT_BITS: Partial<Record<UnaryOperator, number>> = {
  zext8: 8,
  sext8: 8,
  zext16: 16,
  sext16: 16,
  zext32: 32,
  sext32: 32,
};

// --- binary -------------------------------------------------------------------------------------------------------

/** Operators whose operands may change places; they are associative too. */
export const COMMUTATIVE: ReadonlySet<BinaryOperator> = new Set(['add', 'mul', 'and', 'or', 'xor'] as const);
const SHIFTS: ReadonlySet<BinaryOperator> = new Set(['shl', 'shr', 'sar'] as const);

function simplifyBinary(s: Simplifier, operation: Binary, a: Value, b: Value): Value | undefined {
  const { operator, width } = operation;
  const left = width === 32 ? lowBits(a, 32) : a;
  const right = SHIFTS.has(operator) ? lowBits(b, width === 32 ? 5 : 6) : width === 32 ? lowBits(b, 32) : b;
  const swap = COMMUTATIVE.has(operator) && constantOf(left) !== undefined && constantOf(right) === undefined;
  if (swap) return s.make(operation, [right, left]);
  if (left !== a || right !== b) return s.make(operation, [left, right]);

  const x = constantOf(a);
  const y = constantOf(b);
  if (x !== undefined && y !== undefined) {
    const result = evaluateBinary(operator, width, x, y);
    if (result !== undefined) return number(s, result);
  }
  if (y !== undefined) {
    const wrapped = BigInt.asUintN(width, y);
    if (wrapped !== y) return s.make(operation, [a, number(s, wrapped)]);
    return CONSTANT_RULES[operator]?.(s, operation, a, y) ?? reassociate(s, operation, a, y);
  }
  if (a === b) return SAME_RULES[operator]?.(s, operation, a);
  if (operator === 'sub' && x === 0n) return s.make({ op: 'unary', operator: 'neg', width }, [b]);
  return undefined;
}

/** A rule for (a operator y), y being within the operation's width. */
type ConstantRule = (s: Simplifier, operation: Binary, a: Value, y: bigint) => Value | undefined;

const CONSTANT_RULES: Partial<Record<BinaryOperator, ConstantRule>> = {
  add: (s, { width }, a, y) => (y === 0n ? truncated(s, a, width) : undefined),
  sub: (s, operation, a, y) =>
    s.make({ ...operation, operator: 'add' }, [a, number(s, BigInt.asUintN(operation.width, -y))]),
  mul: (s, operation, a, y) => {
    if (y === 0n) return number(s, 0n);
    const power = log2(y);
    return power === undefined ? undefined : s.make({ ...operation, operator: 'shl' }, [a, number(s, power)]);
  },
  and: simplifyMask,
  or: (s, { width }, a, y) => (y === 0n ? truncated(s, a, width) : allOnes(y, width) ? number(s, y) : undefined),
  xor: (s, { width }, a, y) => (y === 0n ? truncated(s, a, width) : undefined),
  udiv: (s, operation, a, y) => {
    const power = log2(y);
    return power === undefined ? undefined : s.make({ ...operation, operator: 'shr' }, [a, number(s, power)]);
  },
  umod: (s, operation, a, y) =>
    log2(y) === undefined ? undefined : s.make({ ...operation, operator: 'and' }, [a, number(s, y - 1n)]),
  shl: simplifyShift,
  shr: simplifyShift,
  sar: simplifyShift,
};

/** A rule for (a operator a). */
const SAME_RULES: Partial<Record<BinaryOperator, (s: Simplifier, operation: Binary, a: Value) => Value>> = {
  sub: (s) => number(s, 0n),
  xor: (s) => number(s, 0n),
  and: (s, { width }, a) => truncated(s, a, width),
  or: (s, { width }, a) => truncated(s, a, width),
};

/** (a op c1) op c2 is a op (c1 op c2). */
function reassociate(s: Simplifier, operation: Binary, a: Value, y: bigint): Value | undefined {
  const { operator, width } = operation;
  const inner = a.operation;
  if (!COMMUTATIVE.has(operator) || inner.op !== 'binary' || inner.operator !== operator) return undefined;
  // A wider inner operation computes the same low half.
  if (inner.width < width) return undefined;
  const x = constantOf(a.args[1]!);
  if (x === undefined) return undefined;
  // An address plus a small offset is what memory operands add up themselves, from what others need too.
  if (operator === 'add' && !isSmall(x) && isSmall(y)) return undefined;
  return s.make(operation, [a.args[0]!, number(s, evaluateBinary(operator, width, x, y)!)]);
}

function isSmall(constant: bigint): boolean {
  return BigInt.asIntN(32, constant) === BigInt.asIntN(64, constant);
}

function simplifyMask(s: Simplifier, operation: Binary, a: Value, y: bigint): Value | undefined {
  const possible = bitsUpTo(s.range(a).max);
  const mask = possible & y;
  if (mask === 0n) return number(s, 0n);
  if (mask === possible) return a;
  const extension = MASK_EXTENSIONS.get(mask);
  if (extension !== undefined) return s.make({ op: 'unary', operator: extension, width: 64 }, [a]);
  // The 32-bit form clears the upper half all the same, and takes any such mask as its immediate.
  const width = mask < 1n << 32n ? 32 : operation.width;
  if (mask === y && width === operation.width) return undefined;
  return s.make({ ...operation, width }, [a, number(s, mask)]);
}

const MASK_EXTENSIONS: ReadonlyMap<bigint, UnaryOperator> = new Map([
  [0xffn, 'zext8'],
  [0xffffn, 'zext16'],
  [0xffff_ffffn, 'zext32'],
] as const);

function simplifyShift(s: Simplifier, operation: Binary, a: Value, y: bigint): Value | undefined {
  const { operator, width } = operation;
  const count = y & BigInt(width - 1);
  if (count !== y) return s.make(operation, [a, number(s, count)]);
  if (count === 0n) return truncated(s, a, width);
  const inner = a.operation;
  if (inner.op !== 'binary' || inner.width !== width) return undefined;
  const innerCount = constantOf(a.args[1]!);
  if (innerCount === undefined) return undefined;
  if (inner.operator === operator && innerCount + count < BigInt(width)) {
    return s.make(operation, [a.args[0]!, number(s, innerCount + count)]);
  }
  // A pair of shifts is how code before movsx and w registers extends.
  if (inner.operator !== 'shl' || innerCount !== count || operator === 'shl') return undefined;
  const extensions = operator === 'shr' ? ZERO_EXTENSIONS : SIGN_EXTENSIONS;
  const extension = extensions.get(width - Number(count));
  return extension === undefined ? undefined : s.make({ op: 'unary', operator: extension, width }, [a.args[0]!]);
}

const ZERO_EXTENSIONS: ReadonlyMap<number, UnaryOperator> = new Map([
  [8, 'zext8'],
  [16, 'zext16'],
  [32, 'zext32'],
] as const);
const SIGN_EXTENSIONS: ReadonlyMap<number, UnaryOperator> = new Map([
  [8, 'sext8'],
  [16, 'sext16'],
  [32, 'sext32'],
] as const);

// --- unary --------------------------------------------------------------------------------------------------------

function simplifyUnary(s: Simplifier, operation: Unary, a: Value): Value | undefined {
  const { operator, width } = operation;
  const x = constantOf(a);
  if (x !== undefined) return number(s, evaluateUnary(operator, width, x));
  const bits = KEPT_BITS[operator];
  if (bits !== undefined) return simplifyExtension(s, operation, a, bits);
  const inner = a.operation;
  if (inner.op !== 'unary' || inner.operator !== operator || inner.width !== width) return undefined;
  if (operator === 'neg') return truncated(s, a.args[0]!, width);
  return operator === 'bswap64' ? a.args[0]! : undefined;
}

function simplifyExtension(s: Simplifier, operation: Unary, a: Value, bits: number): Value | undefined {
  const signed = operation.operator.startsWith('sext');
  const { max } = s.range(a);
  if (max <= (1n << BigInt(signed ? bits - 1 : bits)) - 1n) return a;
  if (signed && bits >= operation.width) return s.make({ op: 'unary', operator: 'zext32', width: 64 }, [a]);
  if (!signed && operation.width === 32) return s.make({ ...operation, width: 64 }, [a]);
  const stripped = lowBits(a, bits);
  if (stripped !== a) return s.make(operation, [stripped]);
  return operation.operator === 'zext32' ? narrow(s, a) : undefined;
}

/** Operations whose low half comes from the low halves of their operands alone. */
const NARROWABLE: ReadonlySet<BinaryOperator> = new Set(['add', 'sub', 'mul', 'and', 'or', 'xor'] as const);

/** zext32 of a 64-bit operation is the 32-bit operation. */
function narrow(s: Simplifier, a: Value): Value | undefined {
  const inner = a.operation;
  if ((inner.op !== 'binary' && inner.op !== 'unary') || inner.width !== 64 || !s.usedOnce(a)) return undefined;
  const narrowable = inner.op === 'binary' ? NARROWABLE.has(inner.operator) : inner.operator === 'neg';
  return narrowable ? s.make({ ...inner, width: 32 }, a.args) : undefined;
}

// --- comparisons --------------------------------------------------------------------------------------------------

function simplifyCompare(s: Simplifier, operation: Compare, a: Value, b: Value): Value | undefined {
  const { condition, width } = operation;
  const left = width === 32 ? lowBits(a, 32) : a;
  const right = width === 32 ? lowBits(b, 32) : b;
  if (constantOf(left) !== undefined && constantOf(right) === undefined) {
    return s.make({ ...operation, condition: SWAPPED[condition] }, [right, left]);
  }
  if (left !== a || right !== b) return s.make(operation, [left, right]);
  if (a === b && condition !== 'test' && condition !== 'ntest') return number(s, REFLEXIVE.has(condition) ? 1n : 0n);

  const decided = compareRanges(condition, width, s.range(a), s.range(b));
  if (decided !== undefined) return number(s, decided ? 1n : 0n);
  const y = constantOf(b);
  if (y === undefined) return undefined;
  const wrapped = BigInt.asUintN(width, y);
  if (wrapped !== y) return s.make(operation, [a, number(s, wrapped)]);
  const equality = condition === 'eq' || condition === 'ne';
  if (width === 64 && !(equality && y === 0n) && fitsHalf(condition, s.range(a)) && fitsHalf(condition, s.range(b))) {
    return s.make({ ...operation, width: 32 }, [a, b]);
  }
  return equality ? simplifyEquality(s, operation, a, y) : undefined;
}

/** True if comparing the low halves of such numbers gives the same; it encodes shorter. */
function fitsHalf(condition: Condition, { max }: Range): boolean {
  return max < (SIGNED.has(condition) ? 1n << 31n : 1n << 32n);
}

const SIGNED: ReadonlySet<Condition> = new Set(['slt', 'sle', 'sgt', 'sge'] as const);

const REFLEXIVE: ReadonlySet<Condition> = new Set(['eq', 'ule', 'uge', 'sle', 'sge'] as const);

/** (a == y) and (a != y). */
function simplifyEquality(s: Simplifier, operation: Compare, a: Value, y: bigint): Value | undefined {
  const { condition, width } = operation;
  const inner = a.operation;
  if (inner.op === 'compare' && (y === 0n || y === 1n)) {
    const keep = (condition === 'ne') === (y === 0n);
    return keep ? a : s.make({ ...inner, condition: INVERSE[inner.condition] }, a.args);
  }
  if (inner.op !== 'binary' || inner.width < width) return undefined;
  const [p, q] = a.args as [Value, Value];
  if (inner.operator === 'and' && y === 0n) {
    return s.make({ ...operation, condition: condition === 'eq' ? 'ntest' : 'test' }, [p, q]);
  }
  if ((inner.operator === 'sub' || inner.operator === 'xor') && y === 0n) return s.make(operation, [p, q]);
  const x = constantOf(q);
  if (inner.operator !== 'add' || x === undefined) return undefined;
  return s.make(operation, [p, number(s, BigInt.asUintN(width, y - x))]);
}

function simplifySelect(s: Simplifier, condition: Value, then: Value, otherwise: Value): Value | undefined {
  if (then === otherwise) return then;
  const truth = truthOf(s.range(condition));
  if (truth !== undefined) return truth ? then : otherwise;
  const inner = condition.operation;
  if (inner.op === 'compare' && constantOf(then) === 1n && constantOf(otherwise) === 0n) return condition;
  const [tested, sense] = testedValue(condition);
  if (tested === condition) return undefined;
  return s.make({ op: 'select' }, sense ? [tested, then, otherwise] : [tested, otherwise, then]);
}

/** A condition that only asks whether another value is zero: that value, and whether it is to be not zero. */
export function testedValue(condition: Value): [Value, sense: boolean] {
  const { operation, args } = condition;
  const isZeroTest =
    operation.op === 'compare' &&
    operation.width === 64 &&
    (operation.condition === 'eq' || operation.condition === 'ne');
  if (!isZeroTest || constantOf(args[1]!) !== 0n) return [condition, true];
  const [tested, sense] = testedValue(args[0]!);
  return [tested, operation.condition === 'ne' ? sense : !sense];
}

// --- leaves -------------------------------------------------------------------------------------------------------

function number(s: Simplifier, value: bigint): Value {
  return s.make({ op: 'const', value }, []);
}

/** What an operation of this width makes of an operand it does not change. */
function truncated(s: Simplifier, value: Value, width: Width): Value {
  return width === 64 ? value : s.make({ op: 'unary', operator: 'zext32', width: 64 }, [value]);
}

function log2(value: bigint): bigint | undefined {
  return value !== 0n && (value & (value - 1n)) === 0n ? BigInt(value.toString(2).length - 1) : undefined;
}

function allOnes(value: bigint, width: Width): boolean {
  return value === (1n << BigInt(width)) - 1n;
}
