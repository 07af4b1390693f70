/** How each IR operation becomes x86-64 instructions: one rule an operation. */
import type { BinaryOperator, Operation, Size, UnaryOperator, Value } from '../../ir/value.ts';
import { ArchError } from '../errors.ts';
import { type Address, matchSum, sameAddress } from './address.ts';
import { bytesOf } from './assembler.ts';
import { lowerCompare, lowerCondition, negated } from './conditions.ts';
import type { InstructionName } from './instructions.ts';
import { imm, type MemOperand, reg, type VReg } from './lir.ts';
import { reciprocal } from './reciprocal.ts';
import { CALL_ARGS, Reg, SYSCALL_ARGS, SYSCALL_SCRATCH, SYSV_ARGS, SYSV_SCRATCH } from './registers.ts';
import type { Selection } from './selection.ts';
import { constantOf, identical, isZeroExtended, lowPart } from './value-facts.ts';

/** Emits the instructions of a value that is asked for, or that has an effect. */
export function lowerValue(s: Selection, value: Value): void {
  const rule: (s: Selection, value: Value, operation: never) => void = RULES[value.operation.op];
  rule(s, value, value.operation as never);
}

type Rule<O extends Operation['op']> = (
  s: Selection,
  value: Value,
  operation: Extract<Operation, { readonly op: O }>,
) => void;

const nothing = () => {};
const [RAX, RCX, RDX] = [reg(Reg.RAX), reg(Reg.RCX), reg(Reg.RDX)];

const RULES: { readonly [O in Operation['op']]: Rule<O> } = {
  // Made where they are used, or taken over at the entry or at the end of the predecessors.
  const: nothing,
  stack: nothing,
  param: nothing,
  site: nothing,
  phi: nothing,

  siteStore(s, value, { register }) {
    if (!s.convention.atSite) throw new ArchError('ARCH_UNSUPPORTED', 'only the body itself can change the site');
    const place: MemOperand = {
      kind: 'mem',
      anchor: { in: 'saved', register: register as Reg },
      base: undefined,
      index: undefined,
      scale: 1,
      disp: 0,
    };
    s.emit('mov', 8, [place, s.immediateOrRegister(value.args[0]!, 8)]);
  },

  bounded(s, value) {
    s.emit('mov', 8, [reg(s.result(value)), reg(s.register(value.args[0]!))]);
  },

  binary(s, value, { operator, width }) {
    BINARY[operator](s, value, bytesOf(width));
  },

  unary(s, value, { operator, width }) {
    UNARY[operator](s, value, bytesOf(width));
  },

  compare(s, value) {
    const condition = lowerCompare(s, value);
    s.emit('set', 1, [reg(s.result(value))], { condition });
  },

  select(s, value) {
    const [choice, then, otherwise] = value.args as [Value, Value, Value];
    const dst = s.result(value);
    const [yes, no] = [constantOf(then), constantOf(otherwise)];
    if ((yes === 1n && no === 0n) || (yes === 0n && no === 1n)) {
      const code = lowerCondition(s, choice);
      s.emit('set', 1, [reg(dst)], { condition: yes === 1n ? code : negated(code) });
      return;
    }
    // A constant is made in place before the flags, a register copied behind them: it may be one that was compared.
    const swap = yes !== undefined && no === undefined;
    const [first, second] = swap ? [then, otherwise] : [otherwise, then];
    const source = s.foldedLoad(second, 8) ?? reg(s.register(second));
    if (constantOf(first) !== undefined) s.start(dst, first, 8);
    const code = lowerCondition(s, choice);
    if (constantOf(first) === undefined) s.start(dst, first, 8);
    s.emit('cmov', 8, [reg(dst), source], { condition: swap ? negated(code) : code });
  },

  load(s, value, { size, signed, offset }) {
    emitLoad(s, s.result(value), s.memory(s.address(value.args[0]!, offset)), size, signed);
  },

  store(s, value, { size, offset }) {
    const [to, stored] = value.args as [Value, Value];
    const address = s.address(to, offset);
    const update = matchUpdate(s, address, stored, size);
    if (update !== undefined) s.emit(update.op, size, [s.memory(address), s.immediateOrRegister(update.by, size)]);
    else s.emit('mov', size, [s.memory(address), s.immediateOrRegister(stored, size)]);
  },

  increment(s, value, { offset }) {
    s.emit('add', 8, [s.memory(s.address(value.args[0]!, offset)), imm(1n)]);
  },

  atomic(s, value, { operator, size, offset, fetch }) {
    const [to, by] = value.args as [Value, Value];
    const place = s.memory(s.address(to, offset));
    const isFetched = fetch && s.isAsked(value);
    const row = ATOMIC[operator];
    if (!isFetched && row.plain !== undefined) {
      s.emit(row.plain, size, [place, s.immediateOrRegister(by, size)]);
    } else if (row.exchange !== undefined) {
      const dst = isFetched ? s.result(value) : s.newRegister();
      s.start(dst, by, size);
      s.emit(row.exchange, size, [place, reg(dst)]);
    } else if (row.loop !== undefined) {
      s.emit(row.loop, size, [place, reg(s.register(lowPart(by, size))), reg(s.newScratch()), RAX]);
      s.copy(s.result(value), Reg.RAX);
    }
  },

  cmpxchg(s, value, { size, offset }) {
    const [to, expected, replacement] = value.args as [Value, Value, Value];
    const place = s.memory(s.address(to, offset));
    const source = s.register(lowPart(replacement, size));
    // On success rax stays as it is, so it must be zero-extended before.
    if (size === 8 || isZeroExtended(expected)) s.start(Reg.RAX, expected, 8);
    else s.emit('mov', 4, [RAX, reg(s.register(lowPart(expected, 4)))]);
    s.emit('cmpxchg', size, [place, reg(source)], { reads: [Reg.RAX], writes: [Reg.RAX] });
    if (s.isAsked(value)) s.copy(s.result(value), Reg.RAX);
  },

  cmpxchg16(s, value, { offset }) {
    const [to, ...words] = value.args as [Value, Value, Value, Value, Value];
    const place = s.memory(s.address(to, offset));
    const registers = [Reg.RAX, Reg.RDX, Reg.RBX, Reg.RCX];
    s.place(words.map((word, n) => [registers[n]!, word]));
    s.emit('cmpxchg16', 8, [place], { reads: registers, writes: [Reg.RAX, Reg.RDX] });
    if (s.isAsked(value)) s.emit('set', 1, [reg(s.result(value))], { condition: 'e' });
  },

  call(s, value, { callee: fn }) {
    const callee = s.calleeOf(fn);
    s.place(value.args.map((arg, n) => [argument(CALL_ARGS, n), arg]));
    const writes = [...new Set([...callee.clobbered, Reg.RAX])];
    s.emit('call', 8, [], { callee, reads: CALL_ARGS.slice(0, value.args.length), writes });
    if (s.isAsked(value)) s.copy(s.result(value), Reg.RAX);
  },

  callAddress(s, value, { address }) {
    s.place(value.args.map((arg, n) => [argument(SYSV_ARGS, n), arg]));
    const reads = SYSV_ARGS.slice(0, value.args.length);
    s.emit('callAddress', 8, [reg(s.newScratch()), imm(address)], { reads, writes: SYSV_SCRATCH });
    if (s.isAsked(value)) s.copy(s.result(value), Reg.RAX);
  },

  syscall(s, value, { number }) {
    s.place(value.args.map((arg, n) => [argument(SYSCALL_ARGS, n), arg]));
    s.emit('const', 8, [RAX, imm(BigInt(number))]);
    const reads = [Reg.RAX, ...SYSCALL_ARGS.slice(0, value.args.length)];
    s.emit('syscall', 8, [], { reads, writes: SYSCALL_SCRATCH });
    if (s.isAsked(value)) s.copy(s.result(value), Reg.RAX);
  },

  threadPointer(s, value) {
    emitLoad(s, s.result(value), inThread(0), 8, false);
  },

  threadLoad(s, value, { size, offset }) {
    emitLoad(s, s.result(value), inThread(offset), size, false);
  },

  /** Linux keeps cpu | node << 12 both in IA32_TSC_AUX and as the limit of a segment: arch/x86/include/asm/segment.h. */
  cpuNumber(s, value) {
    const dst = reg(s.result(value));
    if (s.target.features.rdpid) {
      s.emit('rdpid', 8, [dst]);
    } else {
      const selector = reg(s.newRegister());
      s.emit('const', 8, [selector, imm(CPUNODE_SELECTOR)]);
      s.emit('lsl', 4, [dst, selector]);
    }
    s.emit('and', 4, [dst, imm(0xfffn)]);
  },

  timestamp(s, value) {
    s.emit('rdtsc', 8, [], { writes: [Reg.RAX, Reg.RDX] });
    s.emit('shl', 8, [RDX, imm(32n)]);
    s.emit('or', 8, [RAX, RDX]);
    s.copy(s.result(value), Reg.RAX);
  },
};

const CPUNODE_SELECTOR = 0x7bn;

const ATOMIC: Readonly<Record<Extract<Operation, { op: 'atomic' }>['operator'], AtomicRow>> = {
  add: { plain: 'lockAdd', exchange: 'xadd' },
  and: { plain: 'lockAnd', loop: 'fetchAnd' },
  or: { plain: 'lockOr', loop: 'fetchOr' },
  xor: { plain: 'lockXor', loop: 'fetchXor' },
  xchg: { exchange: 'xchg' },
};

interface AtomicRow {
  /** For who does not want the old value. */
  readonly plain?: InstructionName;
  /** Leaves the old value in its register operand. */
  readonly exchange?: InstructionName;
  /** Tries until it works; leaves the old value in rax. */
  readonly loop?: InstructionName;
}

// --- binary -------------------------------------------------------------------------------------------------------

type OperatorRule = (s: Selection, value: Value, size: 4 | 8) => void;

const BINARY: Readonly<Record<BinaryOperator, OperatorRule>> = {
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

const UNARY: Readonly<Record<UnaryOperator, OperatorRule>> = {
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

// --- memory -------------------------------------------------------------------------------------------------------

function emitLoad(s: Selection, dst: VReg, place: MemOperand, size: Size, signed: boolean): void {
  const op = signed ? SIGNED_LOADS[size] : UNSIGNED_LOADS[size];
  s.emit(op, signed || size === 8 ? 8 : 4, [reg(dst), place]);
}

const UNSIGNED_LOADS = { 1: 'movzx8', 2: 'movzx16', 4: 'mov', 8: 'mov' } as const;
const SIGNED_LOADS = { 1: 'movsx8', 2: 'movsx16', 4: 'movsx32', 8: 'mov' } as const;

function inThread(disp: number): MemOperand {
  return { kind: 'mem', anchor: { in: 'thread' }, base: undefined, index: undefined, scale: 1, disp };
}

/** Finds `*p = *p op by` where nothing else needs the load or the result. */
function matchUpdate(s: Selection, place: Address, stored: Value, size: Size): Update | undefined {
  const result = s.soleSource(stored, size);
  if (result?.operation.op !== 'binary' || bytesOf(result.operation.width) < size) return undefined;
  const op = UPDATES.get(result.operation.operator);
  if (op === undefined) return undefined;
  const isOld = (value: Value): boolean => {
    const load = s.soleSource(value, size);
    if (load?.operation.op !== 'load' || load.operation.size < size || !s.canMoveHere(load)) return false;
    return sameAddress(s.address(load.args[0]!, load.operation.offset), place);
  };
  const [a, b] = result.args as [Value, Value];
  if (isOld(a)) return { op, by: b };
  return op !== 'sub' && isOld(b) ? { op, by: a } : undefined;
}

interface Update {
  readonly op: InstructionName;
  readonly by: Value;
}

const UPDATES: ReadonlyMap<BinaryOperator, InstructionName> = new Map([
  ['add', 'add'],
  ['sub', 'sub'],
  ['and', 'and'],
  ['or', 'or'],
  ['xor', 'xor'],
] as const);

function argument(registers: readonly Reg[], n: number): Reg {
  const register = registers[n];
  if (register !== undefined) return register;
  throw new ArchError('ARCH_UNSUPPORTED', `cannot pass so many arguments: ${registers.length} at most`);
}
