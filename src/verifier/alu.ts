/** Instructions that compute: numbers from numbers, pointers from pointers and numbers. */
import type { AluOperator, Operation, Width } from '../insn/form.ts';
import { movePointer, wrong } from './pointer-arithmetic.ts';
import { ANY, constantOf, isConstant, LOADED, type Scalar } from './scalar.ts';
import { compute, negate, reordered, signExtended, zeroExtended } from './scalar-alu.ts';
import { number, operand, read, refuse, type Step, write } from './step.ts';
import { increased, markPrecise, type Pointer, type RegisterValue, type ScalarValue } from './value.ts';

type Alu = Extract<Operation, { kind: 'alu' }>;
type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>;

/** `dst OPERATOR= operand`. */
export function stepAlu(step: Step, operation: Alu): void {
  const { insn } = step;
  const right = operand(step, operation.operand);
  if (operation.operator === 'mov') {
    write(step, insn.dst, operation.width === 64 ? copied(step, right) : lowHalf(right));
    return;
  }
  checkImmediate(step, operation);
  write(step, insn.dst, combine(step, operation.operator, operation.width, read(step, insn.dst), right));
}

function combine(
  step: Step,
  operator: Exclude<AluOperator, 'mov'>,
  width: Width,
  left: RegisterValue,
  right: RegisterValue,
): RegisterValue {
  const { dst } = step.insn;
  if (left.kind === 'scalar' && right.kind === 'scalar') {
    const result = compute(operator, width, left.scalar, right.scalar);
    const by = constantOf(right.scalar);
    // What is known of one will be known of the other.
    if (by !== undefined && isSum(operator, width, left.scalar, by) && !isConstant(result)) {
      markPrecise(right);
      return increased(left, BigInt.asIntN(64, operator === 'add' ? by : -by), width, result);
    }
    return number(result, left, right);
  }
  // A difference of addresses is a number of which nothing is known.
  if (operator === 'sub' && width === 32) return number(LOADED[4]);
  if (operator === 'sub' && left.kind === 'pointer' && right.kind === 'pointer') return number(ANY);
  if (left.kind === 'pointer' && right.kind === 'pointer') {
    throw wrong(step, `R${dst} pointer ${operator === 'add' ? '+=' : operator} pointer prohibited`);
  }
  if (width === 32) throw wrong(step, `R${dst} 32-bit pointer arithmetic prohibited`);
  if (left.kind === 'scalar') {
    if (operator === 'sub') throw wrong(step, `R${dst} tried to subtract pointer from scalar`);
    return movePointer(step, operator, right as Pointer, left, dst);
  }
  return movePointer(step, operator, left, right as ScalarValue, dst);
}

/** True if a result is worth to be known as another number and a constant: as in the kernel, whole numbers, or such as have no high half. */
function isSum(operator: AluOperator, width: Width, left: Scalar, by: bigint): boolean {
  return (operator === 'add' || operator === 'sub') && by !== 0n && (width === 64 || left.umax <= LOADED[4].umax);
}

/** The kernel refuses by the number alone what would do nothing useful. */
function checkImmediate(step: Step, { operator, width, operand: from }: Alu): void {
  if (from !== 'imm') return;
  const { imm } = step.insn;
  if ((operator === 'div' || operator === 'mod' || operator === 'sdiv' || operator === 'smod') && imm === 0) {
    throw refuse(step, 'VERIFIER_BAD_NUMBER', 'div by zero');
  }
  if ((operator === 'lsh' || operator === 'rsh' || operator === 'arsh') && (imm < 0 || imm >= width)) {
    throw refuse(step, 'VERIFIER_BAD_NUMBER', `invalid shift ${imm}`);
  }
}

/** A sum begins to be a number of its own once there are two of it: what one turns out to be the other is. */
function copied(step: Step, value: RegisterValue): RegisterValue {
  if (value.kind === 'pointer' || value.distance === 0n) return value;
  const own = number(value.scalar, value);
  write(step, step.insn.src, own);
  return own;
}

/** The low half with zeros above; of a pointer nothing is known then. */
function lowHalf(value: RegisterValue): RegisterValue {
  if (value.kind === 'pointer') return number(LOADED[4]);
  const half = zeroExtended(value.scalar);
  return half === value.scalar ? value : number(half, value);
}

export function stepNegate(step: Step, { width }: Of<'neg'>): void {
  const value = read(step, step.insn.dst);
  const opaque = width === 64 ? ANY : LOADED[4];
  write(step, step.insn.dst, value.kind === 'scalar' ? number(negate(width, value.scalar), value) : number(opaque));
}

export function stepSignExtend(step: Step, { bits, width }: Of<'movsx'>): void {
  const value = read(step, step.insn.src);
  if (value.kind === 'pointer') {
    write(step, step.insn.dst, number(width === 64 ? ANY : LOADED[4]));
    return;
  }
  const extended = width === 64 ? extendedTo64(value, bits) : number(signExtended(value.scalar, bits, width), value);
  write(step, step.insn.dst, extended);
}

/** The low bits of a number, sign-extended: the same number, if it is small enough. */
export function extendedTo64(value: ScalarValue, bits: 8 | 16 | 32): ScalarValue {
  const extended = signExtended(value.scalar, bits, 64);
  const isSame = value.scalar.smin >= extended.smin && value.scalar.smax <= extended.smax;
  return isSame ? value : number(extended, value);
}

/** Bytes in an order; what keeps all of them in the processor's own is the same number. */
export function stepEndian(step: Step, { order, bits }: Of<'endian'>): void {
  const value = read(step, step.insn.dst);
  if (value.kind === 'pointer') {
    write(step, step.insn.dst, number(reordered(ANY, order, bits)));
    return;
  }
  const scalar = reordered(value.scalar, order, bits);
  write(step, step.insn.dst, scalar === value.scalar ? value : number(scalar, value));
}
