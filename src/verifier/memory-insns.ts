/** Instructions that load and store. */
import type { Operation } from '../insn/form.ts';
import { extendedTo64 } from './alu.ts';
import { load, notMemory, store, type WordAccess } from './memory.ts';
import { constantScalar, describeBits, LOADED } from './scalar.ts';
import { mapNamed, number, operand, read, refuse, type Step, write } from './step.ts';
import { Pointer, type RegisterValue, ScalarValue } from './value.ts';

type Of<K extends Operation['kind']> = Extract<Operation, { kind: K }>;

/** `dst = *(src + offset)` */
export function stepLoad(step: Step, { size, signed }: Of<'load'>): void {
  const value = load(access(step, step.insn.src, size, 'read'));
  if (!signed || value.kind === 'pointer' || size === 8) write(step, step.insn.dst, value);
  else write(step, step.insn.dst, extendedTo64(value, bitsOf(size)));
}

/** `*(dst + offset) = operand` */
export function stepStore(step: Step, { size, operand: from }: Of<'store'>): void {
  const value = operand(step, from);
  store(access(step, step.insn.dst, size, 'write'), value);
}

/** Reads and writes at once: what is there may be anything afterwards. */
export function stepAtomic(step: Step, { operator, size, fetch }: Of<'atomic'>): void {
  const { src, dst } = step.insn;
  read(step, src);
  if (operator === 'cmpxchg') read(step, 0);
  const where = access(step, dst, size, 'read');
  const { kind } = where.pointer.region;
  if (kind === 'context') {
    throw refuse(step, 'VERIFIER_BAD_ACCESS', `BPF_ATOMIC stores into R${dst} ctx is not allowed`);
  }
  checkAtomicAlignment(where);
  const before = load(where);
  if (fetch) write(step, operator === 'cmpxchg' ? 0 : src, before);
  // As in the kernel the address is looked at once more: it may have been fetched over.
  store(access(step, dst, size, 'write'), number(LOADED[size]));
}

/** A number, a map, an address in a map's only value, or a function. */
export function stepLoadImmediate(step: Step): void {
  write(step, step.insn.dst, loadedImmediate(step));
}

function loadedImmediate(step: Step): RegisterValue {
  const { program, index, insn } = step;
  const reference = program.references.get(index);
  switch (reference?.kind) {
    case 'map':
      return new Pointer({ kind: 'map', map: mapNamed(step, reference.map) });
    case 'mapValue':
      return new Pointer({ kind: 'mapValue', map: mapNamed(step, reference.map) }, false, reference.offset);
    case 'function':
      return new Pointer({ kind: 'function', subprogram: step.calleeAt(index) });
    case undefined:
      return new ScalarValue(constantScalar(insn.imm64!));
  }
}

/** Regions begin at multiples of eight. */
function checkAtomicAlignment({ step, pointer, offset, size }: WordAccess): void {
  const { value, mask } = pointer.variable.bits;
  const low = BigInt(size - 1);
  if ((mask & low) === 0n && ((value + BigInt(pointer.offset + offset)) & low) === 0n) return;
  const what = pointer.region.kind === 'stack' ? 'stack' : 'value';
  const reason = `misaligned ${what} access off ${describeBits(pointer.variable)}+${pointer.offset}+${offset} size ${size}`;
  throw refuse(step, 'VERIFIER_MISALIGNED', reason);
}

function access(step: Step, register: number, size: WordAccess['size'], mode: WordAccess['mode']): WordAccess {
  const pointer = read(step, register);
  if (pointer.kind === 'scalar') throw notMemory({ step, register, pointer });
  // What loads a field of a context is no load once it is compiled.
  if (!step.accesses(pointer.region.kind === 'context' ? 'context' : 'memory')) {
    throw refuse(step, 'VERIFIER_BAD_ACCESS', 'same insn cannot be used with different pointers');
  }
  return { step, register, pointer, offset: step.insn.offset, size, mode };
}

function bitsOf(size: 1 | 2 | 4): 8 | 16 | 32 {
  return (size * 8) as 8 | 16 | 32;
}
