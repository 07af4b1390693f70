/**
 * Branches: which ways there are, and what each tells of the values that were compared, wherever they are held.
 * Source: Linux kernel/bpf/verifier.c, check_cond_jmp_op.
 */
import type { Operation, Width } from '../insn/form.ts';
import { forgetReference } from './references.ts';
import { constantOf, constantScalar, meet, type Scalar, sameScalar } from './scalar.ts';
import { compute } from './scalar-alu.ts';
import { branch, lowHalf, type Refined } from './scalar-branch.ts';
import { StackSlot } from './stack-slot.ts';
import { copyState, type State } from './state.ts';
import { cannotBeNull, number, operand, read, type Step } from './step.ts';
import { markPrecise, Pointer, type RegisterValue, refined, type ScalarValue } from './value.ts';

type Branch = Extract<Operation, { kind: 'branch' }>;

/** A way on: what becomes of values that are known better there. */
type Way = readonly (readonly [before: RegisterValue, after: RegisterValue])[];

/** The ways there are; undefined for one that is not taken whatever the values are. */
interface Ways {
  readonly taken: Way | undefined;
  readonly passed: Way | undefined;
}

const UNCHANGED: Ways = { taken: [], passed: [] };
const ALWAYS: Ways = { taken: [], passed: undefined };
const NEVER: Ways = { taken: undefined, passed: [] };

/** Goes on with one way; the other is left for later. @returns index of the next instruction */
export function stepBranch(step: Step, operation: Branch): number {
  const { insn, index, state } = step;
  const right = operand(step, operation.operand);
  const left = read(step, insn.dst);
  const target = step.targetAt(index);
  const { taken, passed } = waysOf(operation, left, right);
  if (taken !== undefined) step.goes('taken');
  if (passed !== undefined) step.goes('passed');
  if (passed === undefined) {
    apply(state, taken!);
    return target;
  }
  if (taken !== undefined) {
    const other = copyState(state);
    other.insn = target;
    apply(other, taken);
    step.later(other);
  }
  apply(state, passed);
  return index + 1;
}

/** Puts what is known better in place of what was known, in all registers and slots that hold it or a sum with it. */
function replaceValue(state: State, before: RegisterValue, after: RegisterValue): void {
  // What is the same in two places stays the same. Seldom is there more than `before` itself.
  const sums = new Map<RegisterValue, RegisterValue>();
  const root = before.kind === 'scalar' && after.kind === 'scalar' ? before.root : undefined;
  const replaced = (held: RegisterValue): RegisterValue => {
    if (held === before) return after;
    if (root === undefined || held.kind !== 'scalar' || held.root !== root) return held;
    const better = sums.get(held) ?? related(held, before as ScalarValue, after as ScalarValue);
    sums.set(held, better);
    return better;
  };
  for (const { registers, stack } of state.frames) {
    for (let register = 0; register < registers.length; register++) {
      const held = registers[register];
      if (held !== undefined) registers[register] = replaced(held);
    }
    for (let slot = 0; slot < stack.length; slot++) {
      const held = stack[slot];
      if (held?.spilled === undefined) continue;
      const spilled = replaced(held.spilled);
      if (spilled !== held.spilled) stack[slot] = new StackSlot(held.bytes, spilled, held);
    }
  }
}

/** What is known of a number now that one is known better that it differs from by a constant. */
function related(held: ScalarValue, before: ScalarValue, after: ScalarValue): ScalarValue {
  // The kernel draws no conclusions there, and programs are written against it.
  if (held.width !== before.width && held.distance !== 0n && before.distance !== 0n) return held;
  const more = constantScalar(held.distance - before.distance);
  const width = Math.min(held.width, before.width) as Width;
  const sum = compute('add', width, after.scalar, more);
  // Of a sum of low halves nothing follows for the high half of a number that has one.
  const told = width === held.width ? sum : lowHalf(held.scalar, sum);
  const scalar = meet(held.scalar, told) ?? held.scalar;
  return sameScalar(scalar, held.scalar) ? held : refined(held, scalar, after);
}

function apply(state: State, way: Way): void {
  for (const [before, after] of way) {
    replaceValue(state, before, after);
    // What turns out to be 0 was never acquired.
    if (before.kind === 'pointer' && after.kind === 'scalar') forgetReference(state, before.region);
  }
}

function waysOf(operation: Branch, left: RegisterValue, right: RegisterValue): Ways {
  if (left.kind === 'scalar' && right.kind === 'scalar') return compareNumbers(operation, left, right);
  if (operation.width === 32) return UNCHANGED;
  const { condition } = operation;
  if (condition !== 'jeq' && condition !== 'jne') return UNCHANGED;
  if (left.kind === 'pointer' && right.kind === 'pointer') return comparePointers(condition, left, right);
  const [pointer, scalar] = left.kind === 'pointer' ? [left, right] : [right as Pointer, left];
  return scalar.kind === 'scalar' && constantOf(scalar.scalar) === 0n ? compareWithNull(condition, pointer) : UNCHANGED;
}

function compareNumbers({ condition, width }: Branch, left: ScalarValue, right: ScalarValue): Ways {
  const { taken, passed } = branch(condition, width, left.scalar, right.scalar);
  if (taken === undefined || passed === undefined) {
    // That there is one way only rests on what is known of both.
    markPrecise(left);
    markPrecise(right);
    // Where even that is a contradiction nothing is told, and nothing is lost.
    if (passed === undefined) return { taken: (taken && refinements(left, right, taken)) ?? [], passed: undefined };
    return { taken: undefined, passed: refinements(left, right, passed) };
  }
  // Of a number and itself nothing new follows.
  if (left === right) return UNCHANGED;
  return { taken: refinements(left, right, taken), passed: refinements(left, right, passed) };
}

function refinements(left: ScalarValue, right: ScalarValue, sides: NonNullable<Refined>): Way {
  const better = (value: ScalarValue, scalar: Scalar): readonly [RegisterValue, RegisterValue][] =>
    sameScalar(value.scalar, scalar) ? [] : [[value, refined(value, scalar, left, right)]];
  return [...better(left, sides[0]), ...better(right, sides[1])];
}

function compareWithNull(condition: 'jeq' | 'jne', pointer: Pointer): Ways {
  if (cannotBeNull(pointer)) return condition === 'jne' ? ALWAYS : NEVER;
  if (!pointer.orNull) return UNCHANGED;
  const isNull: Way = [[pointer, number(constantScalar(0n))]];
  const isNot: Way = [[pointer, withoutNull(pointer)]];
  return condition === 'jeq' ? { taken: isNull, passed: isNot } : { taken: isNot, passed: isNull };
}

/** What is equal to a pointer that is not 0 is not 0. */
function comparePointers(condition: 'jeq' | 'jne', left: Pointer, right: Pointer): Ways {
  if (left.orNull === right.orNull) return UNCHANGED;
  const orNull = left.orNull ? left : right;
  const other = left.orNull ? right : left;
  if (!cannotBeNull(other)) return UNCHANGED;
  const same: Way = [[orNull, withoutNull(orNull)]];
  return condition === 'jeq' ? { taken: same, passed: [] } : { taken: [], passed: same };
}

function withoutNull({ region, offset, variable }: Pointer): Pointer {
  return new Pointer(region, false, offset, variable);
}
