/**
 * The instructions that lowering uses, one row each: what they do to their operands and to the flags, and how they are
 * written down. Allocation, clean-up and emission know instructions only through this table.
 */
import type { AluOperator, Assembler, Group3Operator, RegMem, ShiftOperator } from './assembler.ts';
import type { Inst } from './lir.ts';
import type { Mem } from './memory.ts';
import { Reg } from './registers.ts';

/** An operand whose place is known; immediates are bigint. */
export type Placed = Reg | Mem | bigint;

export interface InstructionRow {
  /**
   * What happens to each operand that is a register: r read, w written when all reads are done, m read and written,
   * e written while others are still read. Registers in an address are always read.
   */
  readonly roles: string;
  /** Positions that may be in memory instead, one at a time. */
  readonly memory?: string;
  /** `result`: sets them, and the zero flag tells whether operand 0 became zero. */
  readonly flags: 'keeps' | 'sets' | 'result' | 'reads';
  encode(a: Assembler, operands: readonly Placed[], inst: Inst): void;
}

const alu = (operator: AluOperator): InstructionRow => ({
  roles: 'mr',
  memory: '01',
  flags: 'result',
  encode: (a, [dst, src], { size }) => writeAlu(a, operator, rm(dst), src!, size),
});
const lockedAlu = (operator: AluOperator): InstructionRow => ({
  roles: 'mr',
  flags: 'sets',
  encode: (a, [dst, src], { size }) => writeAlu(a.lock(), operator, rm(dst), src!, size),
});
const shift = (operator: ShiftOperator): InstructionRow => ({
  roles: 'mr',
  memory: '0',
  flags: 'sets', // a count of zero leaves the flags alone
  encode: (a, [dst, count], { size }) =>
    typeof count === 'bigint' ? a.shiftImm(operator, rm(dst), Number(count), size) : a.shiftCl(operator, rm(dst), size),
});
/** Works on rdx:rax and the operand. */
const onRaxRdx = (operator: Group3Operator): InstructionRow => ({
  roles: 'r',
  memory: '0',
  flags: 'sets',
  encode: (a, [operand], { size }) => a.group3(operator, rm(operand), size),
});
/** The old value of memory into rax while memory becomes old `operator` src; operand 2 is scratch, 3 is rax. */
const fetchAnd = (operator: AluOperator): InstructionRow => ({
  roles: 'rree',
  flags: 'sets',
  encode(a, [place, src, scratch], { size }) {
    const again = a.label();
    a.mov(Reg.RAX, mem(place), size);
    a.bind(again);
    a.mov(r(scratch), Reg.RAX, size);
    a.alu(operator, r(scratch), r(src), size);
    a.lock().cmpxchg(mem(place), r(scratch), wide(size));
    a.jcc('ne', again);
  },
});

export const INSTRUCTIONS = {
  // --- moves: roles of `copy` depend on its operands (dst..., src...), see rolesOf ---
  copy: {
    roles: '',
    flags: 'keeps',
    encode: () => {
      throw new TypeError('copies are resolved before emission');
    },
  },
  /** A copy that is to stay one: it takes a value out of the way of a call and back. */
  split: {
    roles: 'wr',
    flags: 'keeps',
    encode: () => {
      throw new TypeError('splits are resolved before emission');
    },
  },
  mov: {
    roles: 'wr',
    memory: '01',
    flags: 'keeps',
    encode(a, [dst, src], { size }) {
      if (typeof src === 'bigint') a.storeImm(mem(dst), src, size);
      else a.mov(rm(dst), rm(src), size);
    },
  },
  const: { roles: 'w', flags: 'keeps', encode: (a, [dst, value]) => a.movImm(r(dst), value as bigint) },
  zero: { roles: 'w', flags: 'sets', encode: (a, [dst]) => a.alu('xor', r(dst), r(dst), 4) },
  movzx8: { roles: 'wr', memory: '1', flags: 'keeps', encode: (a, [d, s]) => a.movzx(r(d), rm(s), 1) },
  movzx16: { roles: 'wr', memory: '1', flags: 'keeps', encode: (a, [d, s]) => a.movzx(r(d), rm(s), 2) },
  movsx8: { roles: 'wr', memory: '1', flags: 'keeps', encode: (a, [d, s], i) => a.movsx(r(d), rm(s), 1, wide(i.size)) },
  movsx16: {
    roles: 'wr',
    memory: '1',
    flags: 'keeps',
    encode: (a, [d, s], i) => a.movsx(r(d), rm(s), 2, wide(i.size)),
  },
  movsx32: { roles: 'wr', memory: '1', flags: 'keeps', encode: (a, [d, s]) => a.movsx(r(d), rm(s), 4) },
  lea: {
    roles: 'wr',
    flags: 'keeps',
    encode(a, [dst, src]) {
      const place = mem(src);
      const isBase = 'base' in place && place.base !== undefined && place.index === undefined && place.disp === 0;
      if (isBase) a.mov(r(dst), place.base!);
      else a.lea(r(dst), place);
    },
  },
  /** The address of a place: by lea, if code reaches it and it is no small number. */
  address: {
    roles: 'wr',
    flags: 'keeps',
    encode(a, [dst, src]) {
      const place = mem(src);
      if (!('absolute' in place)) throw new TypeError('operand must be a place known now');
      const isSmall = place.absolute >> 32n === 0n;
      if (!isSmall && a.reaches(place.absolute)) a.lea(r(dst), place);
      else a.movImm(r(dst), place.absolute);
    },
  },
  cmov: {
    roles: 'mr',
    memory: '1',
    flags: 'reads',
    encode: (a, [d, s], { condition, size }) => a.cmov(condition!, r(d), rm(s), wide(size)),
  },
  /** 0 or 1 in the whole register. */
  set: {
    roles: 'w',
    flags: 'reads',
    encode(a, [dst], { condition }) {
      a.set(condition!, r(dst));
      a.movzx(r(dst), r(dst), 1);
    },
  },
  xchg: { roles: 'mm', flags: 'keeps', encode: (a, [d, s], { size }) => a.xchg(rm(d), r(s), size) },
  push: { roles: 'r', memory: '0', flags: 'keeps', encode: (a, [s]) => a.push(rm(s)) },
  pop: { roles: 'w', memory: '0', flags: 'keeps', encode: (a, [d]) => a.pop(rm(d)) },

  // --- arithmetic ---
  add: alu('add'),
  or: alu('or'),
  and: alu('and'),
  sub: alu('sub'),
  xor: alu('xor'),
  cmp: { ...alu('cmp'), roles: 'rr', flags: 'sets' },
  test: {
    roles: 'rr',
    memory: '0',
    flags: 'sets',
    encode(a, [x, y], { size }) {
      if (typeof y === 'bigint') a.testImm(rm(x), y, size);
      else a.test(rm(x), r(y), size);
    },
  },
  /** dst = a + b: whatever is shortest where the registers ended up. */
  add3: {
    roles: 'wrr',
    flags: 'sets',
    encode(a, [dst, x, y], { size }) {
      if (dst === x) writeAlu(a, 'add', r(dst), y!, size);
      else if (dst === y) a.alu('add', r(dst), r(x), size);
      else {
        const [index, disp] = typeof y === 'bigint' ? [undefined, Number(y)] : [r(y), 0];
        a.lea(r(dst), { base: r(x), index, scale: 1, disp, segment: undefined }, wide(size));
      }
    },
  },
  shl: shift('shl'),
  shr: shift('shr'),
  sar: shift('sar'),
  neg: { roles: 'm', memory: '0', flags: 'result', encode: (a, [d], { size }) => a.group3('neg', rm(d), size) },
  not: { roles: 'm', memory: '0', flags: 'keeps', encode: (a, [d], { size }) => a.group3('not', rm(d), size) },
  bswap: { roles: 'm', flags: 'keeps', encode: (a, [d], { size }) => a.bswap(r(d), wide(size)) },
  imul: { roles: 'mr', memory: '1', flags: 'sets', encode: (a, [d, s], { size }) => a.imul(r(d), rm(s), wide(size)) },
  imul3: {
    roles: 'wrr',
    memory: '1',
    flags: 'sets',
    encode: (a, [d, s, factor], { size }) => a.imulImm(r(d), rm(s), factor as bigint, wide(size)),
  },
  div: onRaxRdx('div'),
  idiv: onRaxRdx('idiv'),
  /** The high half of rax * operand into rdx. */
  mulHigh: onRaxRdx('mul'),
  cqo: { roles: '', flags: 'keeps', encode: (a, _, { size }) => a.cqo(wide(size)) },

  // --- atomics ---
  lockAdd: lockedAlu('add'),
  lockSub: lockedAlu('sub'),
  lockAnd: lockedAlu('and'),
  lockOr: lockedAlu('or'),
  lockXor: lockedAlu('xor'),
  xadd: { roles: 'mm', flags: 'sets', encode: (a, [d, s], { size }) => a.lock().xadd(mem(d), r(s), wide(size)) },
  fetchAnd: fetchAnd('and'),
  fetchOr: fetchAnd('or'),
  fetchXor: fetchAnd('xor'),
  cmpxchg: { roles: 'mr', flags: 'sets', encode: (a, [d, s], i) => a.lock().cmpxchg(mem(d), r(s), wide(i.size)) },
  cmpxchg16: { roles: 'm', flags: 'sets', encode: (a, [d]) => a.lock().cmpxchg16b(mem(d)) },

  // --- leaving the function ---
  /** Holds the result's register to the end. */
  leave: { roles: '', flags: 'keeps', encode: () => {} },
  call: {
    roles: '',
    flags: 'sets',
    encode: () => {
      throw new TypeError('calls are emitted with their labels');
    },
  },
  /** To the address in operand 1, with rsp aligned as the System V ABI asks and kept in operand 0 meanwhile. */
  callAddress: {
    roles: 'er',
    flags: 'sets',
    encode(a, [kept, target]) {
      a.mov(r(kept), Reg.RSP);
      a.aluImm('and', Reg.RSP, -16);
      if (a.reaches(target as bigint)) {
        a.callTo(target as bigint);
      } else {
        a.movImm(Reg.RAX, target as bigint);
        a.callIndirect(Reg.RAX);
      }
      a.mov(Reg.RSP, r(kept));
    },
  },
  syscall: { roles: '', flags: 'sets', encode: (a) => a.syscall() },
  rdtsc: { roles: '', flags: 'keeps', encode: (a) => a.rdtsc() },
  rdpid: { roles: 'w', flags: 'keeps', encode: (a, [d]) => a.rdpid(r(d)) },
  lsl: { roles: 'wr', flags: 'sets', encode: (a, [d, s]) => a.lsl(r(d), r(s)) },
} as const satisfies Record<string, InstructionRow>;

export type InstructionName = keyof typeof INSTRUCTIONS;

/** The row of an instruction. */
export function rowOf(inst: Inst): InstructionRow {
  return INSTRUCTIONS[inst.op];
}

/** The role of each operand; a copy writes its first half from its second, all at once. */
export function rolesOf(inst: Inst): string {
  if (inst.op !== 'copy') return INSTRUCTIONS[inst.op].roles;
  const count = inst.operands.length / 2;
  return 'w'.repeat(count) + 'r'.repeat(count);
}

/** The shorter inc, dec and the 8-bit -128 where they do the same. */
function writeAlu(a: Assembler, operator: AluOperator, dst: RegMem, src: Placed, size: Inst['size']): void {
  if (typeof src !== 'bigint') a.alu(operator, dst, src, size);
  else if (operator === 'add' && src === 1n) a.inc(dst, size);
  else if (operator === 'add' && src === -1n) a.dec(dst, size);
  else if (operator === 'sub' && src === 1n) a.dec(dst, size);
  else if (operator === 'add' && src === 128n) a.aluImm('sub', dst, -128, size);
  else a.aluImm(operator, dst, src, size);
}

function r(operand: Placed | undefined): Reg {
  if (typeof operand === 'number') return operand;
  throw new TypeError('operand must be a register');
}

function rm(operand: Placed | undefined): RegMem {
  if (operand !== undefined && typeof operand !== 'bigint') return operand;
  throw new TypeError('operand must be a register or memory');
}

function mem(operand: Placed | undefined): Mem {
  if (typeof operand === 'object') return operand;
  throw new TypeError('operand must be memory');
}

function wide(size: Inst['size']): 4 | 8 {
  return size === 8 ? 8 : 4;
}
