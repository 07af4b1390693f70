/**
 * Iterators: a slot of the stack that only kernel functions read and write. Asked for what comes next there are two ways: something,
 * or nothing from then on. A loop around that ends, since each round takes something from the same iterator.
 * Source: Linux kernel/bpf/verifier.c, process_iter_arg, process_iter_next_call.
 */
import type { Argument } from './helper-arguments.ts';
import { acquireReference, destroyDynptr } from './references.ts';
import { constantOf } from './scalar.ts';
import { checkStackRange, dynptrsIn, slotOf } from './stack-access.ts';
import { type Iterator, StackSlot, WHOLE } from './stack-slot.ts';
import { copyState, currentFrame, type State } from './state.ts';
import { refuse, type Step } from './step.ts';
import { Pointer } from './value.ts';

const SIZE = 8;
const STACK_SIZE = 512;
/** What is drawn from an iterator of numbers is an int. */
const NUMBER_SIZE = 4;
/** What an iterator is asked through. */
const ASKED = 1;

/** An iterator, and on whose stack and in which slot it lies. */
export interface PlacedIterator {
  readonly iterator: Iterator;
  readonly frame: number;
  readonly slot: number;
}

/** Makes one where there is none. @throws {VerifierError} */
export function makeIterator(step: Step, argument: Argument): void {
  const { frame, slot, first } = placeOf(step, argument, 'write');
  const { stack } = step.state.frames[frame]!;
  if (stack[slot]?.part?.kind === 'iterator') {
    throw bad(step, `expected uninitialized iter_num as arg #${argument.register - 1}`);
  }
  for (const dynptr of dynptrsIn(step.state.frames[frame]!, first, first + SIZE)) destroyDynptr(step, dynptr);
  stack[slot] = slotWith({ kind: 'iterator', reference: acquireReference(step), isDrained: false, depth: 0 });
}

/** The one that is there. @throws {VerifierError} if there is none */
export function iteratorAt(step: Step, argument: Argument): PlacedIterator {
  const { frame, slot } = placeOf(step, argument, 'read');
  const iterator = step.state.frames[frame]!.stack[slot]?.part;
  if (iterator?.kind === 'iterator') return { iterator, frame, slot };
  throw bad(step, `expected an initialized iter_num as arg #${argument.register - 1}`);
}

/** Behind the call that asked it: here nothing was left; that something came is left for later. */
export function drawFrom(step: Step, { iterator, frame, slot }: PlacedIterator): void {
  const { state, index } = step;
  if (!iterator.isDrained) {
    const drawn = copyState(state);
    drawn.insn = index;
    step.widen(drawn, (earlier) => !isAsFar(askedIn(earlier), iterator));
    drawn.insn = index + 1;
    drawn.frames[frame]!.stack[slot] = slotWith({ ...iterator, depth: iterator.depth + 1 });
    currentFrame(drawn).registers[0] = new Pointer({
      ...{ kind: 'memory', size: NUMBER_SIZE, writable: false },
      ...{ reference: iterator.reference, origin: 'iterator' },
    });
    step.later(drawn);
  }
  state.frames[frame]!.stack[slot] = slotWith({ ...iterator, isDrained: true });
}

/** Whether, of two states in front of the same question, the later one has drawn more from the very iterator that is asked. */
export function hasDrawn(earlier: State, later: State): boolean {
  const iterator = askedIn(later);
  if (iterator === undefined || iterator.isDrained) return false;
  const before = askedIn(earlier);
  return before?.reference === iterator.reference && before.depth < iterator.depth;
}

/** True of the state that was kept in front of this very question. */
function isAsFar(before: Iterator | undefined, { reference, depth }: Iterator): boolean {
  return before?.reference === reference && before.depth === depth;
}

function askedIn(state: State): Iterator | undefined {
  const pointer = currentFrame(state).registers[ASKED];
  if (pointer?.kind !== 'pointer' || pointer.region.kind !== 'stack') return undefined;
  const offset = offsetOf(pointer);
  if (offset === undefined || offset < -STACK_SIZE || offset >= 0) return undefined;
  const part = state.frames[pointer.region.frame]?.stack[slotOf(offset)]?.part;
  return part?.kind === 'iterator' ? part : undefined;
}

function slotWith(iterator: Iterator): StackSlot {
  return new StackSlot(WHOLE.misc, undefined, undefined, iterator);
}

function placeOf(
  step: Step,
  { register, value: pointer }: Argument,
  mode: 'read' | 'write',
): { readonly frame: number; readonly slot: number; readonly first: number } {
  if (pointer.kind !== 'pointer' || pointer.orNull || pointer.region.kind !== 'stack') {
    throw bad(step, `arg#${register - 1} expected pointer to an iterator on stack`);
  }
  const offset = offsetOf(pointer);
  if (offset === undefined) throw bad(step, 'iter has to be at a constant offset');
  if (offset % SIZE !== 0 || offset < -STACK_SIZE || offset + SIZE > 0) {
    throw bad(step, `cannot pass in iter at an offset=${offset}`);
  }
  const { first } = checkStackRange({ step, register, pointer, offset: 0, size: SIZE, mode });
  return { frame: pointer.region.frame, slot: slotOf(first), first };
}

function offsetOf({ offset, variable }: Pointer): number | undefined {
  const known = constantOf(variable);
  return known === undefined ? undefined : offset + Number(BigInt.asIntN(64, known));
}

function bad(step: Step, reason: string): Error {
  return refuse(step, 'VERIFIER_BAD_ARGUMENT', reason);
}
