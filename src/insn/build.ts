/**
 * Builds instructions by name, for tests and generators: `[mov(0, 1), add(0, R(2)), exit()]`. An operand is a number
 * or a register `R(n)`. `layOut` gives them their slots; text with labels is for `assemble`.
 */
import {
  type AccessSize,
  type AluOperator,
  type AtomicOperator,
  FORMS,
  type Form,
  type JumpCondition,
  type Operation,
  type Width,
} from './form.ts';
import type { Insn } from './insn.ts';

/** A register as an operand. */
export interface Register {
  readonly register: number;
}

/** Names a register where a number would be an immediate. */
export function R(register: number): Register {
  return { register };
}

const BY_OPERATION: ReadonlyMap<string, Form> = new Map(
  // Reversed, so that of forms that do the same the first in the table wins.
  FORMS.map((form) => [keyOf(form.operation), form] as const).reverse(),
);

/** dst = dst OPERATOR operand */
export function alu(operator: AluOperator, dst: number, operand: number | Register, width: Width = 64): Insn {
  return make({ kind: 'alu', operator, width, operand: sourceOf(operand) }, { dst, ...fieldOf(operand) });
}

/** dst = operand */
export function mov(dst: number, operand: number | Register): Insn {
  return alu('mov', dst, operand);
}

/** dst += operand */
export function add(dst: number, operand: number | Register): Insn {
  return alu('add', dst, operand);
}

/** dst = -dst */
export function neg(dst: number, width: Width = 64): Insn {
  return make({ kind: 'neg', width }, { dst });
}

/** dst = the low `bits` of src, sign-extended to `width`. */
export function movsx(dst: number, src: number, bits: 8 | 16 | 32, width: Width = 64): Insn {
  return make({ kind: 'movsx', bits, width }, { dst, src });
}

/** dst = the low `bits` of dst in that byte order. */
export function endian(order: 'le' | 'be' | 'swap', dst: number, bits: 16 | 32 | 64): Insn {
  return make({ kind: 'endian', order, bits }, { dst });
}

/** dst = value, unsigned 64 bits. */
export function lddw(dst: number, value: bigint): Insn {
  return make({ kind: 'lddw', loads: 'number' }, { dst, imm: Number(BigInt.asIntN(32, value)), imm64: value });
}

/** dst = *(u size *)(base + offset) */
export function load(size: AccessSize, dst: number, base: number, offset: number): Insn {
  return make({ kind: 'load', size, signed: false }, { dst, src: base, offset });
}

/** dst = *(s size *)(base + offset) */
export function loadSigned(size: 1 | 2 | 4, dst: number, base: number, offset: number): Insn {
  return make({ kind: 'load', size, signed: true }, { dst, src: base, offset });
}

/** *(u size *)(base + offset) = operand */
export function store(size: AccessSize, base: number, offset: number, operand: number | Register): Insn {
  return make({ kind: 'store', size, operand: sourceOf(operand) }, { dst: base, offset, ...fieldOf(operand) });
}

/** lock *(u size *)(base + offset) OPERATOR= src; xchg and cmpxchg always fetch. */
export function atomic(
  operator: AtomicOperator,
  size: 4 | 8,
  base: number,
  offset: number,
  src: number,
  result: 'fetch' | 'none' = 'none',
): Insn {
  const fetch = result === 'fetch' || operator === 'xchg' || operator === 'cmpxchg';
  return make({ kind: 'atomic', operator, size, fetch }, { dst: base, src, offset });
}

/** goto +slots, within 16 bits. */
export function jump(slots: number): Insn {
  return make({ kind: 'jump' }, { offset: slots });
}

/** if dst CONDITION operand goto +slots */
export function branch(
  condition: JumpCondition,
  dst: number,
  operand: number | Register,
  slots: number,
  width: Width = 64,
): Insn {
  return make(
    { kind: 'branch', condition, width, operand: sourceOf(operand) },
    { dst, offset: slots, ...fieldOf(operand) },
  );
}

/** r0 = helper `id` of r1 to r5 */
export function call(id: number): Insn {
  return make({ kind: 'call', callee: 'helper' }, { imm: id });
}

/** r0 = the subprogram `slots` behind the next instruction, of r1 to r5 */
export function callLocal(slots: number): Insn {
  return make({ kind: 'call', callee: 'local' }, { imm: slots });
}

/** r0 = the helper whose number is in `dst`, of r1 to r5 */
export function callRegister(dst: number): Insn {
  return make({ kind: 'call', callee: 'register' }, { dst });
}

/** return r0 */
export function exit(): Insn {
  return make({ kind: 'exit' }, {});
}

function sourceOf(operand: number | Register): 'imm' | 'src' {
  return typeof operand === 'number' ? 'imm' : 'src';
}

function fieldOf(operand: number | Register): Partial<Insn> {
  return typeof operand === 'number' ? { imm: operand } : { src: operand.register };
}

function make(operation: Operation, fields: Partial<Insn>): Insn {
  const form = BY_OPERATION.get(keyOf(operation))!;
  return { opcode: form.opcode, dst: 0, src: 0, offset: 0, imm: 0, slot: 0, ...form.fixed, ...fields };
}

function keyOf(operation: Operation): string {
  return Object.entries(operation)
    .map(([name, value]) => `${name}=${value}`)
    .sort()
    .join();
}
