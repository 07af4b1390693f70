/**
 * The instructions that compute, load and store, as rows: what each kind is in the IR. Control and calls are in
 * translate.ts. Source: RFC 9669, sections 4 and 5.
 */
import type { AluOperator, JumpCondition, Operation } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import type { Builder } from '../ir/builder.ts';
import type { BinaryOperator, Condition, UnaryOperator, Value, Width } from '../ir/value.ts';

/** The eBPF registers while a block is translated. */
export interface Registers {
  /** What a register holds; zero if no path here wrote it. */
  get(register: number): Value;
  set(register: number, value: Value): void;
}

/** Kinds of instructions that stand for themselves: nothing around them matters. */
export type PlainKind = 'alu' | 'neg' | 'movsx' | 'endian' | 'load' | 'store' | 'atomic';

type Row<K extends PlainKind> = (
  b: Builder,
  registers: Registers,
  operation: Extract<Operation, { kind: K }>,
  insn: Insn,
) => void;

const ROWS: { readonly [K in PlainKind]: Row<K> } = {
  alu(b, registers, { operator, width, operand }, insn) {
    const second = operandOf(b, registers, operand, insn);
    registers.set(insn.dst, ALU[operator](b, registers.get(insn.dst), second, width));
  },
  neg(b, registers, { width }, { dst }) {
    registers.set(dst, b.unary('neg', registers.get(dst), width));
  },
  movsx(b, registers, { bits, width }, { dst, src }) {
    registers.set(dst, b.unary(`sext${bits}`, registers.get(src), width));
  },
  endian(b, registers, { order, bits }, { dst }) {
    const operator = order === 'le' ? LITTLE_ENDIAN[bits] : (`bswap${bits}` as const);
    if (operator !== undefined) registers.set(dst, b.unary(operator, registers.get(dst)));
  },
  load(b, registers, { size, signed }, { dst, src, offset }) {
    const address = registers.get(src);
    registers.set(dst, signed ? b.loadSigned(size, address, offset) : b.load(size, address, offset));
  },
  store(b, registers, { size, operand }, insn) {
    b.store(size, registers.get(insn.dst), insn.offset, operandOf(b, registers, operand, insn));
  },
  atomic(b, registers, { operator, size, fetch }, { dst, src, offset }) {
    const address = registers.get(dst);
    const operand = registers.get(src);
    if (operator === 'cmpxchg') {
      registers.set(0, b.cmpxchg(size, address, offset, registers.get(0), operand));
      return;
    }
    const old = b.atomic(operator, size, address, offset, operand);
    if (fetch) registers.set(src, old);
  },
};

/** True if `emitPlain` knows what the instruction is. */
export function isPlain(operation: Operation): operation is Extract<Operation, { kind: PlainKind }> {
  return Object.hasOwn(ROWS, operation.kind);
}

/** Writes the instruction and its result. */
export function emitPlain(
  b: Builder,
  registers: Registers,
  operation: Extract<Operation, { kind: PlainKind }>,
  insn: Insn,
): void {
  (ROWS[operation.kind] as Row<PlainKind>)(b, registers, operation, insn);
}

/** What a branch asks. */
export function emitCondition(
  b: Builder,
  registers: Registers,
  { condition, width, operand }: Extract<Operation, { kind: 'branch' }>,
  insn: Insn,
): Value {
  return b.compare(CONDITIONS[condition], registers.get(insn.dst), operandOf(b, registers, operand, insn), width);
}

/** The second operand: a register, or the immediate sign-extended. */
function operandOf(b: Builder, registers: Registers, operand: 'imm' | 'src', { src, imm }: Insn): Value {
  return operand === 'src' ? registers.get(src) : b.const(imm);
}

type AluRow = (b: Builder, a: Value, operand: Value, width: Width) => Value;

const ALU: Readonly<Record<AluOperator, AluRow>> = {
  add: binary('add'),
  sub: binary('sub'),
  mul: binary('mul'),
  or: binary('or'),
  and: binary('and'),
  xor: binary('xor'),
  lsh: binary('shl'),
  rsh: binary('shr'),
  arsh: binary('sar'),
  mov: (b, _, operand, width) => truncate(b, operand, width),
  /** x / 0 = 0 */
  div: (b, a, divisor, width) => {
    const isZero = b.compare('eq', divisor, 0, width);
    return b.select(isZero, 0, b.binary('udiv', a, b.select(isZero, 1, divisor), width));
  },
  /** x % 0 = x */
  mod: (b, a, divisor, width) => {
    const isZero = b.compare('eq', divisor, 0, width);
    return b.select(isZero, truncate(b, a, width), b.binary('umod', a, b.select(isZero, 1, divisor), width));
  },
  /** x / 0 = 0, and x / -1 = -x, which the processor refuses for the smallest x. */
  sdiv: (b, a, divisor, width) => {
    const isTrap = isZeroOrMinusOne(b, divisor, width);
    const quotient = b.binary('sdiv', a, b.select(isTrap, 1, divisor), width);
    const negated = b.select(isTrap, b.unary('neg', a, width), quotient);
    return b.select(b.compare('eq', divisor, 0, width), 0, negated);
  },
  /** x % 0 = x, and x % -1 = x % 1. */
  smod: (b, a, divisor, width) => {
    const isTrap = isZeroOrMinusOne(b, divisor, width);
    const remainder = b.binary('smod', a, b.select(isTrap, 1, divisor), width);
    return b.select(b.compare('eq', divisor, 0, width), truncate(b, a, width), remainder);
  },
};

function isZeroOrMinusOne(b: Builder, value: Value, width: Width): Value {
  return b.compare('ult', b.binary('add', value, 1, width), 2, width);
}

function binary(operator: BinaryOperator): AluRow {
  return (b, a, operand, width) => b.binary(operator, a, operand, width);
}

/** A constant stays one, for helpers that want to know it now. */
function truncate(b: Builder, value: Value, width: Width): Value {
  if (width === 64) return value;
  const { operation } = value;
  return operation.op === 'const' ? b.const(BigInt.asUintN(32, operation.value)) : b.unary('zext32', value);
}

const LITTLE_ENDIAN: Readonly<Record<16 | 32 | 64, UnaryOperator | undefined>> = {
  16: 'zext16',
  32: 'zext32',
  64: undefined,
};

const CONDITIONS: Readonly<Record<JumpCondition, Condition>> = {
  jeq: 'eq',
  jne: 'ne',
  jset: 'test',
  jgt: 'ugt',
  jge: 'uge',
  jlt: 'ult',
  jle: 'ule',
  jsgt: 'sgt',
  jsge: 'sge',
  jslt: 'slt',
  jsle: 'sle',
};
