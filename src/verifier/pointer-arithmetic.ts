/** Adding numbers to pointers, and what else may not be done with them. Linux: adjust_ptr_min_max_vals. */
import type { AluOperator } from '../insn/form.ts';
import { typeName } from './describe-value.ts';
import { S64_MIN } from './interval.ts';
import { constantOf, type Scalar } from './scalar.ts';
import { compute } from './scalar-alu.ts';
import { refuse, type Step } from './step.ts';
import { markPrecise, Pointer, type Region, type ScalarValue } from './value.ts';

/** The kernel's BPF_MAX_VAR_OFF: offsets stay below, so that sums of a few cannot wrap. */
export const MAX_OFFSET = 2 ** 29;
const LIMIT = BigInt(MAX_OFFSET);

/** Regions inside which an address may move. */
const MOVABLE: Readonly<Record<Region['kind'], boolean>> = {
  context: true,
  stack: true,
  map: false,
  mapValue: true,
  mapKey: true,
  memory: true,
  function: true,
  task: true,
  dynptr: true,
};

/** What is wrong with every operator but add and sub. */
const FORBIDDEN: Readonly<Partial<Record<AluOperator, string>>> = {
  and: 'bitwise operator &= on pointer',
  or: 'bitwise operator |= on pointer',
  xor: 'bitwise operator ^= on pointer',
};

const SIGNS: Readonly<Partial<Record<AluOperator, string>>> = {
  mul: '*=',
  div: '/=',
  sdiv: 's/=',
  mod: '%=',
  smod: 's%=',
  lsh: '<<=',
  rsh: '>>=',
  arsh: 's>>=',
};

/**
 * The pointer that `register` holds after `pointer OPERATOR by`, or `by + pointer`.
 *
 * @throws {VerifierError} VERIFIER_POINTER_ARITHMETIC
 */
export function movePointer(
  step: Step,
  operator: AluOperator,
  pointer: Pointer,
  by: ScalarValue,
  register: number,
): Pointer {
  markPrecise(by);
  if (pointer.orNull) {
    throw wrong(step, `R${register} pointer arithmetic on ${typeName(pointer)} prohibited, null-check it first`);
  }
  const amount = constantOf(by.scalar);
  const isNothing = amount === 0n && operator === 'add';
  if (!MOVABLE[pointer.region.kind] && !isNothing) {
    throw wrong(step, `R${register} pointer arithmetic on ${typeName(pointer)} prohibited`);
  }
  checkNumber(step, by.scalar, pointer);
  checkOffset(step, pointer.offset, pointer);
  if (operator !== 'add' && operator !== 'sub') {
    const reason = FORBIDDEN[operator] ?? `pointer arithmetic with ${SIGNS[operator]} operator`;
    throw wrong(step, `R${register} ${reason} prohibited`);
  }
  if (operator === 'sub' && pointer.region.kind === 'stack') {
    throw wrong(step, `R${register} subtraction from stack pointer prohibited`);
  }
  const moved = add(operator, pointer, by.scalar, amount);
  checkNumber(step, moved.variable, pointer);
  checkOffset(step, moved.offset, pointer);
  return moved;
}

function add(operator: 'add' | 'sub', pointer: Pointer, by: Scalar, amount: bigint | undefined): Pointer {
  const { region, offset, variable } = pointer;
  if (amount === undefined) return new Pointer(region, false, offset, compute(operator, 64, variable, by));
  // Both are bounded by checkNumber, so that this fits.
  const distance = Number(BigInt.asIntN(64, amount));
  return new Pointer(region, false, operator === 'add' ? offset + distance : offset - distance, variable);
}

function checkOffset(step: Step, offset: number, pointer: Pointer): void {
  if (Math.abs(offset) >= MAX_OFFSET) throw wrong(step, `${typeName(pointer)} pointer offset ${offset} is not allowed`);
}

function checkNumber(step: Step, scalar: Scalar, pointer: Pointer): void {
  const { smin } = scalar;
  const what = typeName(pointer);
  const amount = constantOf(scalar);
  if (amount !== undefined && (smin >= LIMIT || smin <= -LIMIT)) {
    throw wrong(step, `math between ${what} pointer and ${smin} is not allowed`);
  }
  if (smin === S64_MIN) {
    throw wrong(step, `math between ${what} pointer and register with unbounded min value is not allowed`);
  }
  if (smin >= LIMIT || smin <= -LIMIT) throw wrong(step, `value ${smin} makes ${what} pointer be out of bounds`);
}

/** The error for arithmetic that no pointer allows. */
export function wrong(step: Step, reason: string): Error {
  return refuse(step, 'VERIFIER_POINTER_ARITHMETIC', reason);
}
