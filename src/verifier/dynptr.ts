/**
 * Dynptrs: two slots of stack that only helpers read and write, and memory that lasts as long as they do.
 * Source: Linux kernel/bpf/verifier.c, process_dynptr_func, mark_stack_slots_dynptr.
 */
import { movedReason } from './memory.ts';
import { acquireReference, destroyDynptr } from './references.ts';
import { constantOf } from './scalar.ts';
import { checkStackRange, dynptrsIn, slotOf } from './stack-access.ts';
import { type DynptrHalf, StackSlot, WHOLE } from './stack-slot.ts';
import type { Frame } from './state.ts';
import { refuse, type Step } from './step.ts';
import type { Dynptr, Pointer } from './value.ts';

const SIZE = 16;
const SLOT_SIZE = 8;
const STACK_SIZE = 512;

/** A register that points to one, or to where one is to be. */
export interface DynptrArgument {
  readonly step: Step;
  readonly register: number;
  readonly pointer: Pointer;
}

/** Makes one where there is none, or none that has to be given back. @throws {VerifierError} */
export function makeDynptr(argument: DynptrArgument, memory: Dynptr['memory']): void {
  const { step, pointer } = argument;
  if (pointer.region.kind === 'dynptr') throw bad(step, 'Dynptr has to be an uninitialized dynptr');
  const { frame, first } = placeOf(argument, 'write');
  for (const old of dynptrsIn(frame, first, first + SIZE)) destroyDynptr(step, old);
  const dynptr: Dynptr = { memory, reference: memory === 'ringbuf' ? acquireReference(step) : 0 };
  frame.stack[slotOf(first)] = new StackSlot(WHOLE.misc, undefined, undefined, {
    kind: 'dynptr',
    dynptr,
    half: 'first',
  });
  frame.stack[slotOf(first + SLOT_SIZE)] = new StackSlot(WHOLE.misc, undefined, undefined, {
    kind: 'dynptr',
    dynptr,
    half: 'second',
  });
}

/** The one that is there. @throws {VerifierError} if there is none */
export function dynptrAt(argument: DynptrArgument): Dynptr {
  const { step, register, pointer } = argument;
  if (pointer.region.kind === 'dynptr') {
    const { offset, variable } = pointer;
    if (offset === 0 && constantOf(variable) === 0n) return pointer.region.dynptr;
    throw bad(step, movedReason(pointer, register));
  }
  const { frame, first } = placeOf(argument, 'read');
  const part = halfAt(frame, first);
  const next = halfAt(frame, first + SLOT_SIZE);
  if (part?.half !== 'first' || next?.dynptr !== part.dynptr) {
    throw bad(step, `Expected an initialized dynptr as arg #${register - 1}`);
  }
  return part.dynptr;
}

/** The reference that goes with the one that is there. @throws {VerifierError} if there is none to be given back */
export function releasedDynptr(argument: DynptrArgument): number {
  const { step, register, pointer } = argument;
  if (pointer.region.kind === 'dynptr') throw bad(step, 'cannot release unowned const bpf_dynptr');
  const { frame, first } = placeOf(argument, 'read');
  if ((halfAt(frame, first)?.dynptr.reference ?? 0) === 0) {
    throw bad(step, `arg ${register} is an unacquired reference`);
  }
  return dynptrAt(argument).reference;
}

function halfAt(frame: Frame, offset: number): DynptrHalf | undefined {
  const part = frame.stack[slotOf(offset)]?.part;
  return part?.kind === 'dynptr' ? part : undefined;
}

function placeOf({ step, register, pointer }: DynptrArgument, mode: 'read' | 'write'): { frame: Frame; first: number } {
  const variable = constantOf(pointer.variable);
  if (variable === undefined) throw bad(step, 'dynptr has to be at a constant offset');
  const offset = pointer.offset + Number(BigInt.asIntN(64, variable));
  if (offset % SLOT_SIZE !== 0 || offset < -STACK_SIZE || offset + SIZE > 0) {
    throw bad(step, `cannot pass in dynptr at an offset=${offset}`);
  }
  return checkStackRange({ step, register, pointer, offset: 0, size: SIZE, mode }, 'any');
}

function bad(step: Step, reason: string): Error {
  return refuse(step, 'VERIFIER_BAD_ARGUMENT', reason);
}
