/** What is known of a value without running it: the smallest and the largest unsigned number it can be. */
import { evaluateCompare } from '../arithmetic.ts';
import { INVERSE } from '../conditions.ts';
import type { BinaryOperator, Condition, Operation, UnaryOperator, Value, Width } from '../value.ts';

/** Both ends included. */
export interface Range {
  readonly min: bigint;
  readonly max: bigint;
}

const FULL: Range = { min: 0n, max: 2n ** 64n - 1n };
const WORD: Range = { min: 0n, max: 2n ** 32n - 1n };
const HALF: Range = { min: 0n, max: 0xffffn };
const BYTE: Range = { min: 0n, max: 0xffn };
const BIT: Range = { min: 0n, max: 1n };
/** User space, without the page at zero. */
const STACK: Range = { min: 4096n, max: 2n ** 47n - 1n };

const OF_SIZE = { 1: BYTE, 2: HALF, 4: WORD, 8: FULL } as const;
const OF_WIDTH = { 32: WORD, 64: FULL } as const;

/** Operands of operands are looked at so deep; beyond it everything is possible. */
const DEPTH = 8;

/** Ranges of a function's values, found when asked for and kept. */
export class Ranges {
  readonly #known: (Range | undefined)[] = [];

  of(value: Value, depth = 0): Range {
    const known = this.#known[value.id];
    if (known !== undefined) return known;
    if (depth > DEPTH) return FULL;
    // Where a value feeds itself through a loop, everything is possible.
    this.#known[value.id] = FULL;
    const range = this.#find(value, depth + 1);
    this.#known[value.id] = range;
    return range;
  }

  /** For who knows better. */
  set(value: Value, range: Range): void {
    this.#known[value.id] = range;
  }

  #find({ operation, args }: Value, depth: number): Range {
    return rangeOf(
      operation,
      args.map((arg) => this.of(arg, depth)),
    );
  }
}

/** The range of an operation's result, from those of its operands. */
export function rangeOf(operation: Operation, args: readonly Range[]): Range {
  const [a = FULL, b = FULL, c = FULL] = args;
  switch (operation.op) {
    case 'const':
      return exactly(operation.value);
    case 'stack':
      return STACK;
    case 'bounded':
      return a;
    case 'compare': {
      const decided = compareRanges(operation.condition, operation.width, a, b);
      return decided === undefined ? BIT : exactly(decided ? 1n : 0n);
    }
    case 'cmpxchg16':
      return BIT;
    case 'load':
      return operation.signed ? FULL : OF_SIZE[operation.size];
    case 'threadLoad':
    case 'atomic':
    case 'cmpxchg':
      return OF_SIZE[operation.size];
    case 'binary':
      return clip(BINARY[operation.operator]?.(a, b, operation.width), operation.width);
    case 'unary':
      return clip(UNARY[operation.operator]?.(a), operation.width);
    case 'select':
      return join([b, c]);
    case 'phi':
      return args.length === 0 ? FULL : join(args);
    default:
      return FULL;
  }
}

function exactly(value: bigint): Range {
  return { min: value, max: value };
}

function join(ranges: readonly Range[]): Range {
  return ranges.reduce((a, b) => ({ min: smaller(a.min, b.min), max: larger(a.max, b.max) }));
}

/** Math.min and Math.max do not take bigints. */
function smaller(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}

function larger(a: bigint, b: bigint): bigint {
  return a < b ? b : a;
}

/** The range of a result computed without bounds: what may have wrapped around may be anything. */
function clip(range: Range | undefined, width: Width): Range {
  const whole = OF_WIDTH[width];
  return range === undefined || range.min < 0n || range.max > whole.max ? whole : range;
}

/** The smallest number of the form 2^n - 1 that is not below `max`. */
export function bitsUpTo(max: bigint): bigint {
  return max === 0n ? 0n : (1n << BigInt(max.toString(2).length)) - 1n;
}

type BinaryRange = (a: Range, b: Range, width: Width) => Range | undefined;

/** Operands within the width only: a 32-bit operation reads halves. */
function whole(rule: (a: Range, b: Range, width: bigint) => Range | undefined): BinaryRange {
  return (a, b, width) => {
    const { max } = OF_WIDTH[width];
    return a.max > max || b.max > max ? undefined : rule(a, b, BigInt(width));
  };
}

const BINARY: Partial<Record<BinaryOperator, BinaryRange>> = {
  add: whole((a, b) => ({ min: a.min + b.min, max: a.max + b.max })),
  sub: whole((a, b) => ({ min: a.min - b.max, max: a.max - b.min })),
  mul: whole((a, b) => ({ min: a.min * b.min, max: a.max * b.max })),
  and: (a, b) => ({ min: 0n, max: smaller(a.max, b.max) }),
  or: whole((a, b) => ({ min: larger(a.min, b.min), max: bitsUpTo(a.max | b.max) })),
  xor: whole((a, b) => ({ min: 0n, max: bitsUpTo(a.max | b.max) })),
  shl: whole((a, b, width) => (b.max < width ? { min: a.min << b.min, max: a.max << b.max } : undefined)),
  shr: whole((a, b, width) => (b.max < width ? { min: a.min >> b.max, max: a.max >> b.min } : { min: 0n, max: a.max })),
  udiv: whole((a, b) => ({ min: a.min / (b.max || 1n), max: a.max / (b.min || 1n) })),
  umod: whole((a, b) => ({ min: 0n, max: b.max === 0n ? a.max : smaller(a.max, b.max - 1n) })),
};

const UNARY: Partial<Record<UnaryOperator, (a: Range) => Range | undefined>> = {
  zext8: (a) => narrow(a, BYTE),
  zext16: (a) => narrow(a, HALF),
  zext32: (a) => narrow(a, WORD),
  sext8: (a) => keep(a, 0x7fn),
  sext16: (a) => keep(a, 0x7fffn),
  sext32: (a) => keep(a, 0x7fff_ffffn),
  bswap16: () => HALF,
  bswap32: () => WORD,
};

function narrow(a: Range, to: Range): Range {
  return a.max <= to.max ? a : to;
}

function keep(a: Range, max: bigint): Range | undefined {
  return a.max <= max ? a : undefined;
}

/** The outcome of a comparison if the ranges decide it. */
export function compareRanges(condition: Condition, width: Width, a: Range, b: Range): boolean | undefined {
  if (a.min === a.max && b.min === b.max) return evaluateCompare(condition, width, a.min, b.min);
  const { max } = OF_WIDTH[width];
  if (a.max > max || b.max > max) return undefined;
  const signBit = 1n << BigInt(width - 1);
  const bothPositive = a.max < signBit && b.max < signBit;
  switch (condition) {
    case 'eq':
      return a.max < b.min || b.max < a.min ? false : undefined;
    case 'ne':
      return a.max < b.min || b.max < a.min ? true : undefined;
    case 'slt':
      return bothPositive ? below(a, b) : undefined;
    case 'sge':
      return bothPositive ? not(below(a, b)) : undefined;
    case 'sgt':
      return bothPositive ? below(b, a) : undefined;
    case 'sle':
      return bothPositive ? not(below(b, a)) : undefined;
    case 'ult':
      return below(a, b);
    case 'uge':
      return not(below(a, b));
    case 'ugt':
      return below(b, a);
    case 'ule':
      return not(below(b, a));
    case 'test':
      return (bitsUpTo(a.max) & bitsUpTo(b.max)) === 0n ? false : undefined;
    case 'ntest':
      return (bitsUpTo(a.max) & bitsUpTo(b.max)) === 0n ? true : undefined;
  }
}

/** What a branch condition that turned out true or false says of values: each with its new range. */
export function learn(condition: Value, holds: boolean, rangeOf: (value: Value) => Range): [Value, Range][] {
  const { min, max } = rangeOf(condition);
  const outcome = holds ? { min: min === 0n ? 1n : min, max } : exactly(0n);
  return [[condition, outcome], ...learnFromCompare(condition, holds, rangeOf)];
}

function learnFromCompare(
  { operation, args }: Value,
  holds: boolean,
  rangeOf: (value: Value) => Range,
): [Value, Range][] {
  if (operation.op !== 'compare') return [];
  const [a, b] = args as [Value, Value];
  const range = rangeOf(a);
  if (b.operation.op !== 'const' || range.max > OF_WIDTH[operation.width].max) return [];
  const y = b.operation.value;
  const limit = LIMITS[holds ? operation.condition : INVERSE[operation.condition]]?.(range, y);
  if (limit === undefined) return [];
  const min = larger(limit.min, range.min);
  const max = smaller(limit.max, range.max);
  // An empty range: this way is never taken.
  return min > max ? [] : [[a, { min, max }]];
}

/** Where a value of this range lies if its comparison with y holds. */
const LIMITS: Partial<Record<Condition, (range: Range, y: bigint) => Range>> = {
  eq: (_, y) => exactly(y),
  ne: ({ min, max }, y) => ({ min: min === y ? min + 1n : min, max: max === y ? max - 1n : max }),
  ult: ({ min }, y) => ({ min, max: y - 1n }),
  ule: ({ min }, y) => ({ min, max: y }),
  ugt: ({ max }, y) => ({ min: y + 1n, max }),
  uge: ({ max }, y) => ({ min: y, max }),
};

function below(a: Range, b: Range): boolean | undefined {
  if (a.max < b.min) return true;
  return a.min >= b.max ? false : undefined;
}

function not(outcome: boolean | undefined): boolean | undefined {
  return outcome === undefined ? undefined : !outcome;
}
