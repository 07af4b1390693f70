/** How each IR operation becomes x86-64 instructions: one rule an operation. */
import type { BinaryOperator, Operation, Size, Value } from '../../ir/value.ts';
import { ArchError } from '../errors.ts';
import { type Address, sameAddress } from './address.ts';
import { BINARY, UNARY } from './arithmetic.ts';
import { bytesOf } from './assembler.ts';
import { lowerCompare, lowerCondition, negated } from './conditions.ts';
import type { InstructionName } from './instructions.ts';
import { imm, type MemOperand, reg, type VReg } from './lir.ts';
import { CALL_ARGS, Reg, SYSCALL_ARGS, SYSCALL_SCRATCH, SYSV_ARGS, SYSV_SCRATCH } from './registers.ts';
import type { Selection } from './selection.ts';
import { constantOf, isZeroExtended, lowPart } from './value-facts.ts';

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
const [RAX, RDX] = [reg(Reg.RAX), reg(Reg.RDX)];

const RULES: { readonly [O in Operation['op']]: Rule<O> } = {
  // Made where they are used, or taken over at the entry or at the end of the predecessors.
  const: nothing,
  stack: nothing,
  param: nothing,
  site: nothing,
  phi: nothing,

  // Its users see through it: `identical`.
  bounded: nothing,

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
