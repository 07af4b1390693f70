/** Arithmetic: how each binary and unary operator becomes x86-64 instructions. */
import type { BinaryOperator, Size, UnaryOperator, Value } from '../../ir/value.ts';
import { matchSum } from './address.ts';
import type { InstructionName } from './instructions.ts';
import { imm, reg, type VReg } from './lir.ts';
import { reciprocal } from './reciprocal.ts';
import { Reg } from './registers.ts';
import type { Selection } from './selection.ts';
import { constantOf, identical, isZeroExtended, lowPart } from './value-facts.ts';

/** Emits a value's operation on the low `size` bytes of its operands. */
export type OperatorRule = (s: Selection, value: Value, size: 4 | 8) => void;

const [RAX, RCX, RDX] = [reg(Reg.RAX), reg(Reg.RCX), reg(Reg.RDX)];

export const BINARY: Readonly<Record<BinaryOperator, OperatorRule>> = {
  add(s, value, size) {
    if (size === 8 && emitSum(s, value)) return;
    const [a, b] = ordered(s, value, size);
    if (isLarge(s, b, size) || isFoldable(s, b, size)) return twoAddress(s, 'add', value, a, b, size);
    const left = reg(s.register(lowPart(a, size)));
    s.emit('add3', size, [reg(s.result(value)), left, s.immediateOrRegister(b, size)]);
  },
  sub(s, value, size) {
    const [a, b] = value.args as [Value, Value];
    const subtrahend = s.immediate(b, size);
    if (subtrahend?.kind === 'imm' && subtrahend.value !== -0x8000_0000n) {
      const left = reg(s.register(lowPart(a, size)));
      s.emit('add3', size, [reg(s.result(value)), left, imm(-subtrahend.value)]);
    } else {
      const operand = s.operand(b, size);
      s.start(s.result(value), a, size);
      s.emit('sub', size, [reg(s.result(value)), operand]);
    }
  },
  mul(s, value, size) {
    const [a, b] = ordered(s, value, size);
    const [other, factor] = s.immediate(a, size) ? [b, s.immediate(a, size)] : [a, s.immediate(b, size)];
    if (factor === undefined) return twoAddress(s, 'imul', value, a, b, size);
    const left = s.foldedLoad(other, size) ?? reg(s.register(lowPart(other, size)));
    s.emit('imul3', size, [reg(s.result(value)), left, factor]);
  },
  and(s, value, size) {
    const [a, b] = ordered(s, value, size);
    const mask = constantOf(b);
    const unsigned = mask === undefined ? undefined : BigInt.asUintN(size * 8, mask);
    if (unsigned === 0xffn || unsigned === 0xffffn) return emitExtension(s, value, a, unsigned === 0xffn ? 1 : 2);
    if (unsigned === 0xffff_ffffn) return emitExtension(s, value, a, 4);
    // A mask without upper half clears the upper half, as every 32-bit operation does.
    const narrow = unsigned !== undefined && unsigned >> 32n === 0n ? 4 : size;
    twoAddress(s, 'and', value, a, b, narrow);
  },
  or(s, value, size) {
    const [a, b] = ordered(s, value, size);
    twoAddress(s, 'or', value, a, b, size);
  },
  xor(s, value, size) {
    const [a, b] = ordered(s, value, size);
    const mask = constantOf(identical(b));
    if (mask !== undefined && BigInt.asIntN(size * 8, mask) === -1n) {
      s.start(s.result(value), a, size);
      s.emit('not', size, [reg(s.result(value))]);
    } else {
      twoAddress(s, 'xor', value, a, b, size);
    }
  },
  shl: shift('shl'),
  shr: shift('shr'),
  sar: shift('sar'),
  udiv(s, value, size) {
    const quotient = quotientByConstant(s, value, size);
    if (quotient === undefined) divide('div', Reg.RAX)(s, value, size);
    else s.copy(s.result(value), quotient);
  },
  umod(s, value, size) {
    const quotient = quotientByConstant(s, value, size);
    if (quotient === undefined) return divide('div', Reg.RDX)(s, value, size);
    const [n, divisor] = value.args as [Value, Value];
    const multiple = reg(s.newRegister());
    const factor = s.immediateOrRegister(divisor, size);
    if (factor.kind === 'imm') {
      s.emit('imul3', size, [multiple, reg(quotient), factor]);
    } else {
      s.copy(multiple.reg, quotient);
      s.emit('imul', size, [multiple, factor]);
    }
    s.start(s.result(value), n, size);
    s.emit('sub', size, [reg(s.result(value)), multiple]);
  },
  sdiv: divide('idiv', Reg.RAX),
  smod: divide('idiv', Reg.RDX),
};

/** Operands of a commutative operation: first the one whose register can be worked in, constants second. */
function ordered(s: Selection, value: Value, size: Size): [Value, Value] {
  const [a, b] = value.args as [Value, Value];
  if (constantOf(identical(b)) !== undefined) return [a, b];
  if (constantOf(identical(a)) !== undefined) return [b, a];
  if (isFoldable(s, b, size)) return [a, b];
  if (isFoldable(s, a, size)) return [b, a];
  return s.isAsked(lowPart(a, size)) && !s.isAsked(lowPart(b, size)) ? [b, a] : [a, b];
}

function isFoldable(s: Selection, value: Value, size: Size): boolean {
  const source = s.soleSource(value, size);
  return source?.operation.op === 'load' && source.operation.size >= size && s.canMoveHere(source);
}

/** A constant that no instruction can hold. */
function isLarge(s: Selection, value: Value, size: Size): boolean {
  return constantOf(identical(value)) !== undefined && s.immediate(value, size) === undefined;
}

/** value = a op b, `ordered`, for a commutative instruction that works in its first operand. */
function twoAddress(s: Selection, op: InstructionName, value: Value, a: Value, b: Value, size: Size): void {
  const dst = s.result(value);
  // A large constant has to be made in some register: in this one.
  const [first, second] = isLarge(s, b, size) ? [b, a] : [a, b];
  const operand = s.operand(second, size);
  s.start(dst, first, size);
  s.emit(op, size, [reg(dst), operand]);
}

/** What one `lea` can add up beyond two summands: scaled, with a displacement, from the stack. */
function emitSum(s: Selection, value: Value): boolean {
  const sum = matchSum(value, s);
  const dst = reg(s.result(value));
  if (sum.base !== undefined && sum.index === undefined && sum.base !== value && sum.anchor.in === 'nothing') {
    const base = s.register(sum.base);
    if (sum.disp === 0) s.copy(s.result(value), base);
    else s.emit('add3', 8, [dst, reg(base), imm(BigInt(sum.disp))]);
    return true;
  }
  const isPlain = sum.anchor.in === 'nothing' && sum.scale === 1 && sum.disp === 0;
  if (isPlain || sum.anchor.in === 'absolute') return false;
  s.emit('lea', 8, [dst, s.memory(sum)]);
  return true;
}

function shift(op: 'shl' | 'shr' | 'sar'): OperatorRule {
  return (s, value, size) => {
    const [a, by] = value.args as [Value, Value];
    const dst = s.result(value);
    const count = constantOf(identical(by));
    if (count !== undefined) {
      s.start(dst, a, size);
      const masked = BigInt.asUintN(size === 8 ? 6 : 5, count);
      if (masked !== 0n) s.emit(op, size, [reg(dst), imm(masked)]);
      else if (size === 4) s.emit('mov', 4, [reg(dst), reg(dst)]);
    } else {
      s.start(Reg.RCX, maskedCount(by, size), 1);
      s.start(dst, a, size);
      s.emit(op, size, [reg(dst), RCX]);
    }
  };
}

/** The processor masks the count itself. */
function maskedCount(count: Value, size: 4 | 8): Value {
  const { operation, args } = identical(count);
  const mask = operation.op === 'binary' && operation.operator === 'and' ? constantOf(args[1]!) : undefined;
  const needed = size === 8 ? 63n : 31n;
  return mask !== undefined && (mask & needed) === needed ? args[0]! : count;
}

function divide(op: 'div' | 'idiv', from: Reg): OperatorRule {
  return (s, value, size) => {
    const [a, b] = value.args as [Value, Value];
    const divisor = s.foldedLoad(b, size) ?? reg(s.register(lowPart(b, size)));
    s.start(Reg.RAX, a, size);
    if (op === 'idiv') s.emit('cqo', size, [], { reads: [Reg.RAX], writes: [Reg.RDX] });
    else s.emit('const', 8, [RDX, imm(0n)]);
    s.emit(op, size, [divisor], { reads: [Reg.RAX, Reg.RDX], writes: [Reg.RAX, Reg.RDX] });
    s.copy(s.result(value), from);
  };
}

/** The register of an unsigned quotient by a constant; undefined where dividing, or shifting, is better. */
function quotientByConstant(s: Selection, { args }: Value, size: 4 | 8): VReg | undefined {
  const [n, by] = args as [Value, Value];
  const constant = constantOf(identical(by));
  const divisor = BigInt.asUintN(size * 8, constant ?? 0n);
  if (divisor < 3n || (divisor & (divisor - 1n)) === 0n) return undefined;
  const { multiplier, preShift, isLong, postShift } = reciprocal(divisor, size === 8 ? 64 : 32);

  const dividend = s.newRegister();
  const isWhole = size === 8 || isZeroExtended(identical(n));
  if (isWhole) s.start(dividend, n, 8);
  else s.emit('mov', 4, [reg(dividend), reg(s.register(lowPart(n, 4)))]);
  const scaled = s.newRegister();
  s.copy(scaled, dividend);
  if (preShift > 0) s.emit('shr', 8, [reg(scaled), imm(BigInt(preShift))]);
  s.emit('const', 8, [RAX, imm(multiplier)]);
  s.emit('mulHigh', 8, [reg(scaled)], { reads: [Reg.RAX], writes: [Reg.RAX, Reg.RDX] });
  const quotient = s.newRegister();
  if (isLong) {
    s.copy(quotient, dividend);
    s.emit('sub', 8, [reg(quotient), RDX]);
    s.emit('shr', 8, [reg(quotient), imm(1n)]);
    s.emit('add', 8, [reg(quotient), RDX]);
  } else {
    s.copy(quotient, Reg.RDX);
  }
  const left = isLong ? postShift - 1 : postShift;
  if (left > 0) s.emit('shr', 8, [reg(quotient), imm(BigInt(left))]);
  return quotient;
}

// --- unary --------------------------------------------------------------------------------------------------------

export const UNARY: Readonly<Record<UnaryOperator, OperatorRule>> = {
  neg(s, value, size) {
    s.start(s.result(value), value.args[0]!, size);
    s.emit('neg', size, [reg(s.result(value))]);
  },
  zext8: (s, value) => emitExtension(s, value, value.args[0]!, 1),
  zext16: (s, value) => emitExtension(s, value, value.args[0]!, 2),
  zext32: (s, value) => emitExtension(s, value, value.args[0]!, 4),
  sext8: signExtend('movsx8', 1),
  sext16: signExtend('movsx16', 2),
  sext32(s, value, size) {
    if (size === 4) emitExtension(s, value, value.args[0]!, 4);
    else signExtend('movsx32', 4)(s, value, size);
  },
  bswap16(s, value) {
    swapBytes(s, value, 4);
    s.emit('shr', 4, [reg(s.result(value)), imm(16n)]);
  },
  bswap32: (s, value) => swapBytes(s, value, 4),
  bswap64: (s, value) => swapBytes(s, value, 8),
};

const EXTENSIONS = { 1: 'movzx8', 2: 'movzx16', 4: 'mov' } as const;

/** The low `from` bytes of `source`, zero-extended. */
function emitExtension(s: Selection, value: Value, source: Value, from: 1 | 2 | 4): void {
  const operand = s.foldedLoad(source, from) ?? reg(s.register(lowPart(source, from)));
  s.emit(EXTENSIONS[from], 4, [reg(s.result(value)), operand]);
}

function signExtend(op: 'movsx8' | 'movsx16' | 'movsx32', from: 1 | 2 | 4): OperatorRule {
  return (s, value, size) => {
    const source = value.args[0]!;
    const operand = s.foldedLoad(source, from) ?? reg(s.register(lowPart(source, from)));
    s.emit(op, size, [reg(s.result(value)), operand]);
  };
}

function swapBytes(s: Selection, value: Value, size: 4 | 8): void {
  s.start(s.result(value), value.args[0]!, size);
  s.emit('bswap', size, [reg(s.result(value))]);
}
