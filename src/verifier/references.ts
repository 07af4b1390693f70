/**
 * What has to be given back: memory of ring buffers, iterators; and what is gone with it.
 * Source: Linux kernel/bpf/verifier.c, acquire_reference, check_reference_leak, destroy_if_dynptr_stack_slot.
 */
import { LOADED } from './scalar.ts';
import { StackSlot, WHOLE } from './stack-slot.ts';
import type { State } from './state.ts';
import { number, refuse, type Step } from './step.ts';
import type { Dynptr, Region, RegisterValue } from './value.ts';

/** Notes something acquired here. @returns its number */
export function acquireReference(step: Step): number {
  const id = step.newReference();
  const { state, index } = step;
  state.references = [...state.references, { id, insn: index, frame: state.frames.length - 1 }];
  return id;
}

/** Gives it back: nothing points to it from then on. */
export function releaseReference(state: State, id: number): void {
  state.references = state.references.filter((reference) => reference.id !== id);
  forgetAll(state, (reference) => reference === id);
}

/** A dynptr is written over: what pointed into its memory does so no more. @throws {VerifierError} VERIFIER_STACK_ACCESS */
export function destroyDynptr(step: Step, dynptr: Dynptr): void {
  if (dynptr.reference !== 0) throw refuse(step, 'VERIFIER_STACK_ACCESS', 'cannot overwrite referenced dynptr');
  forgetAll(step.state, (_, owner) => owner === dynptr);
}

/** Empties what holds, or points into, something that is gone. */
function forgetAll(state: State, isGone: (reference: number, owner: Dynptr | undefined) => boolean): void {
  const holds = (value: RegisterValue | undefined): boolean => {
    if (value?.kind !== 'pointer' || value.region.kind !== 'memory') return false;
    const { reference, dynptr } = value.region;
    return isGone(dynptr?.reference ?? reference, dynptr);
  };
  for (const { registers, stack } of state.frames) {
    for (let register = 0; register < registers.length; register++) {
      if (holds(registers[register])) registers[register] = number(LOADED[8]);
    }
    for (let slot = 0; slot < stack.length; slot++) {
      const held = stack[slot];
      const isPart = held?.part !== undefined && isGone(...ownerOf(held.part));
      if (isPart || holds(held?.spilled)) stack[slot] = new StackSlot(WHOLE.misc, undefined, held);
    }
  }
}

function ownerOf(part: NonNullable<StackSlot['part']>): [reference: number, owner: Dynptr | undefined] {
  return part.kind === 'dynptr' ? [part.dynptr.reference, part.dynptr] : [part.reference, undefined];
}

/** There was nothing to be given back after all. */
export function forgetReference(state: State, region: Region): void {
  const id = region.kind === 'memory' ? region.reference : 0;
  if (id !== 0) state.references = state.references.filter((reference) => reference.id !== id);
}

/**
 * Checks that nothing is left over.
 *
 * @param frame what was acquired by this active function or those it called
 * @throws {VerifierError} VERIFIER_REFERENCE
 */
export function checkReferences(step: Step, frame: number, where: string): void {
  const left = step.state.references.find((reference) => reference.frame >= frame);
  if (left === undefined) return;
  const slot = step.program.insns[left.insn]!.slot;
  const reason = `Unreleased reference id=${left.id} alloc_insn=${slot}: ${where} would lead to reference leak`;
  throw refuse(step, 'VERIFIER_REFERENCE', reason);
}
