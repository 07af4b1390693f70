/** Comparisons as flags: which instruction sets them, and which condition code then means "yes". */
import { SWAPPED } from '../../ir/conditions.ts';
import type { Condition, Size, Value } from '../../ir/value.ts';
import { bytesOf, type ConditionCode, fits8 } from './assembler.ts';
import { imm, type MemOperand, type Operand, reg } from './lir.ts';
import type { Selection } from './selection.ts';
import { constantOf, identical, isZeroExtended, lowPart } from './value-facts.ts';

interface ConditionRow {
  readonly code: ConditionCode;
  /** For operands that are both not negative. */
  readonly unsigned: Condition;
}

const CONDITIONS: Readonly<Record<Condition, ConditionRow>> = {
  eq: { code: 'e', unsigned: 'eq' },
  ne: { code: 'ne', unsigned: 'ne' },
  ult: { code: 'b', unsigned: 'ult' },
  ule: { code: 'be', unsigned: 'ule' },
  ugt: { code: 'a', unsigned: 'ugt' },
  uge: { code: 'ae', unsigned: 'uge' },
  slt: { code: 'l', unsigned: 'ult' },
  sle: { code: 'le', unsigned: 'ule' },
  sgt: { code: 'g', unsigned: 'ugt' },
  sge: { code: 'ge', unsigned: 'uge' },
  test: { code: 'ne', unsigned: 'test' },
  ntest: { code: 'e', unsigned: 'ntest' },
};

const NEGATED: Readonly<Record<ConditionCode, ConditionCode>> = {
  o: 'no',
  no: 'o',
  b: 'ae',
  ae: 'b',
  e: 'ne',
  ne: 'e',
  be: 'a',
  a: 'be',
  s: 'ns',
  ns: 's',
  p: 'np',
  np: 'p',
  l: 'ge',
  ge: 'l',
  le: 'g',
  g: 'le',
};

/** The condition code that says the opposite. */
export function negated(code: ConditionCode): ConditionCode {
  return NEGATED[code];
}

/** Emits what sets the flags for "`value` is not zero"; nothing but moves may follow before they are used. */
export function lowerCondition(s: Selection, value: Value): ConditionCode {
  const { inner, negate } = withoutBooleans(value);
  const code =
    exchangeCode(s, inner) ?? (inner.operation.op === 'compare' ? lowerCompare(s, inner) : lowerNotZero(s, inner));
  return negate ? negated(code) : code;
}

/** Emits what sets the flags for a `compare` value. */
export function lowerCompare(s: Selection, compare: Value): ConditionCode {
  if (compare.operation.op !== 'compare') throw new TypeError(`value ${compare.id} is no comparison`);
  const { condition, width } = compare.operation;
  const [x, y] = [identical(compare.args[0]!), identical(compare.args[1]!)];
  const [a, b, asked] = constantOf(x) === undefined ? [x, y, condition] : [y, x, SWAPPED[condition]];
  // A comparison may be written once for each of its uses, a load in it only once in all.
  const mayFold = s.facts.isSingleUse(compare);

  if (asked === 'test' || asked === 'ntest') {
    lowerTest(s, a, b, bytesOf(width), mayFold);
    return CONDITIONS[asked].code;
  }
  const byte = mayFold ? narrowLoad(s, a, b) : undefined;
  if (byte !== undefined) {
    s.emit('cmp', byte.size, byte.operands);
    return CONDITIONS[CONDITIONS[asked].unsigned].code;
  }
  const isNarrow = width === 64 && isZeroExtended(a) && isZeroExtended(b);
  lowerCmp(s, a, b, isNarrow ? 4 : bytesOf(width), mayFold);
  return CONDITIONS[isNarrow ? CONDITIONS[asked].unsigned : asked].code;
}

/** The zero flag of a compare-and-exchange just before says whether it worked. */
function exchangeCode(s: Selection, value: Value): ConditionCode | undefined {
  const { operation } = value;
  if (operation.op === 'cmpxchg16') return s.isLastBeforeEnd(value) ? 'e' : undefined;
  if (operation.op !== 'compare' || (operation.condition !== 'eq' && operation.condition !== 'ne')) return undefined;
  const [x, y] = [identical(value.args[0]!), identical(value.args[1]!)];
  const [exchange, expected] = x.operation.op === 'cmpxchg' ? [x, y] : [y, x];
  if (exchange.operation.op !== 'cmpxchg' || !isSame(identical(exchange.args[1]!), expected)) return undefined;
  const { size } = exchange.operation;
  const isWhole = size * 8 === operation.width || (size === 4 && isZeroExtended(expected));
  return isWhole && s.isLastBeforeEnd(exchange, value) ? CONDITIONS[operation.condition].code : undefined;
}

function isSame(a: Value, b: Value): boolean {
  return a === b || (constantOf(a) !== undefined && constantOf(a) === constantOf(b));
}

function lowerNotZero(s: Selection, value: Value): ConditionCode {
  const size = isZeroExtended(value) ? 4 : 8;
  const place = s.foldedLoad(value, size);
  if (place !== undefined) s.emit('cmp', size, [place, imm(0n)]);
  else testItself(s, value, size);
  return 'ne';
}

function lowerCmp(s: Selection, a: Value, b: Value, size: 4 | 8, mayFold: boolean): void {
  const place = mayFold ? s.foldedLoad(a, size) : undefined;
  if (place !== undefined) {
    s.emit('cmp', size, [place, s.immediateOrRegister(b, size)]);
  } else if (constantOf(b) === 0n) {
    testItself(s, a, size);
  } else {
    const right = mayFold ? s.operand(b, size) : s.immediateOrRegister(b, size);
    s.emit('cmp', size, [reg(s.register(lowPart(a, size))), right]);
  }
}

/** Compares with zero: `test` clears carry and overflow, as `cmp r, 0` does. */
function testItself(s: Selection, value: Value, size: Size): void {
  const register = reg(s.register(lowPart(value, size)));
  s.emit('test', size, [register, register]);
}

/** a & b: a mask needs no more bytes than it has. */
function lowerTest(s: Selection, a: Value, b: Value, size: 4 | 8, mayFold: boolean): void {
  const mask = constantOf(b);
  const masked = mask === undefined ? size : maskSize(BigInt.asUintN(size * 8, mask), size);
  const place = mayFold ? s.foldedLoad(a, masked) : undefined;
  s.emit('test', masked, [place ?? reg(s.register(lowPart(a, masked))), s.immediateOrRegister(b, masked)]);
}

function maskSize(mask: bigint, size: 4 | 8): 1 | 4 | 8 {
  if (mask >> 8n === 0n) return 1;
  return mask >> 32n === 0n ? 4 : size;
}

/** A load of one or two bytes against a constant of that size, compared in memory. */
function narrowLoad(s: Selection, a: Value, b: Value): { size: Size; operands: [MemOperand, Operand] } | undefined {
  const constant = constantOf(b);
  const { operation } = a;
  if (constant === undefined || operation.op !== 'load' || operation.signed || operation.size > 2) return undefined;
  const bits = operation.size * 8;
  const low = BigInt.asIntN(bits, constant);
  if (constant < 0n || constant >> BigInt(bits) !== 0n || !fits8(low)) return undefined; // a 16-bit immediate decodes slowly
  const place = s.foldedLoad(a, operation.size);
  return place && { size: operation.size, operands: [place, imm(low)] };
}

/** Sees through "not equal zero" and "equal zero" around a comparison. */
function withoutBooleans(value: Value): { inner: Value; negate: boolean } {
  let inner = identical(value);
  let negate = false;
  for (;;) {
    const { operation, args } = inner;
    if (operation.op !== 'compare' || (operation.condition !== 'eq' && operation.condition !== 'ne')) break;
    const compared = identical(args[0]!);
    if (compared.operation.op !== 'compare' || constantOf(args[1]!) !== 0n) break;
    if (operation.condition === 'eq') negate = !negate;
    inner = compared;
  }
  return { inner, negate };
}
