/**
 * Loads and stores on a stack: registers that are spilled come back as they were, anything else is followed by byte.
 * Stack memory that was never written may be read, as in programs that the kernel trusts with tracing; it holds anything.
 * Source: Linux kernel/bpf/verifier.c, check_stack_read, check_stack_write.
 */

import type { AccessSize } from '../insn/form.ts';
import type { Access, WordAccess } from './memory.ts';
import { MAX_OFFSET } from './pointer-arithmetic.ts';
import { destroyDynptr } from './references.ts';
import { constantOf, constantScalar, describeBits, LOADED } from './scalar.ts';
import { truncated } from './scalar-alu.ts';
import { type ByteKind, StackSlot, WHOLE } from './stack-slot.ts';
import type { Frame } from './state.ts';
import { number, refuse } from './step.ts';
import { type Dynptr, markPrecise, type RegisterValue } from './value.ts';

const SLOT_SIZE = 8;
const STACK_SIZE = 512;

/** Where an access may begin, as distances below the frame pointer (both negative), and whose stack it is. */
interface StackRange {
  readonly frame: Frame;
  readonly first: number;
  readonly last: number;
}

/** Fills a register. @throws {VerifierError} VERIFIER_STACK_ACCESS, VERIFIER_MISALIGNED */
export function loadStack(access: WordAccess): RegisterValue {
  const { frame, first, last } = checkStackRange(access);
  const { size } = access;
  const part = firstOpaqueByte(frame, first, last + size);
  if (part !== undefined) {
    const reason = `invalid read from stack off ${first}+${part - first} size ${size}`;
    throw refuse(access.step, 'VERIFIER_STACK_ACCESS', reason);
  }
  if (first !== last) {
    readBytes(frame, first, last + size);
    return number(areZero(frame, first, last + size) ? constantScalar(0n) : LOADED[size]);
  }
  const slot = frame.stack[slotOf(first)];
  if (slot === undefined) return number(LOADED[size]);
  slot.markRead();
  const at = byteOf(first);
  return fill(access, slot, at);
}

/** Spills a register. @throws {VerifierError} VERIFIER_STACK_ACCESS, VERIFIER_MISALIGNED */
export function storeStack(access: WordAccess, value: RegisterValue): void {
  const { step, size } = access;
  const { frame, first, last } = checkStackRange(access);
  for (const dynptr of dynptrsIn(frame, first, last + size)) destroyDynptr(step, dynptr);
  if (first !== last) {
    writeBytes(frame, first, last + size);
    return;
  }
  const index = slotOf(first);
  const at = byteOf(first);
  const before = frame.stack[index];
  if (value.kind === 'pointer') {
    if (size !== SLOT_SIZE) throw refuse(step, 'VERIFIER_STACK_ACCESS', 'invalid size of register spill');
    const isOwn = frame === step.frame;
    if (!isOwn && value.region.kind === 'stack') {
      const reason = 'cannot spill pointers to stack into stack frame of the caller';
      throw refuse(step, 'VERIFIER_STACK_ACCESS', reason);
    }
    frame.stack[index] = new StackSlot(WHOLE.spilled, value);
    return;
  }

  if (at === 0) {
    const cut = truncated(value.scalar, size);
    const spilled = cut === value.scalar ? value : number(cut, value);
    frame.stack[index] = new StackSlot(
      size === SLOT_SIZE ? WHOLE.spilled : spillInto(before, size),
      spilled,
      size === SLOT_SIZE ? undefined : before,
    );
    return;
  }
  const isZero = constantOf(value.scalar) === 0n;
  if (isZero) markPrecise(value);
  frame.stack[index] = overwritten(before, at, at + size, isZero ? 'zero' : 'misc');
}

/** The dynptrs that lie in the bytes from `first` to `end` (exclusive), at least in part. */
export function dynptrsIn(frame: Frame, first: number, end: number): Dynptr[] {
  const found = new Set<Dynptr>();
  for (let offset = first; offset < end; offset += SLOT_SIZE - byteOf(offset)) {
    const part = frame.stack[slotOf(offset)]?.part;
    if (part?.kind === 'dynptr') found.add(part.dynptr);
  }
  return [...found];
}

/** The first of those bytes, as a distance below the frame pointer, that is part of what only helpers look into. */
export function firstOpaqueByte(
  frame: Frame,
  first: number,
  end: number,
  kind?: NonNullable<StackSlot['part']>['kind'],
): number | undefined {
  for (let offset = first; offset < end; offset++) {
    const part = frame.stack[slotOf(offset)]?.part;
    if (part !== undefined && (kind === undefined || part.kind === kind)) return offset;
  }
  return undefined;
}

/** Notes that the bytes from `first` to `end` (exclusive) are read. */
export function readBytes(frame: Frame, first: number, end: number): void {
  for (let offset = first; offset < end; offset += SLOT_SIZE - byteOf(offset)) frame.stack[slotOf(offset)]?.markRead();
}

/** True if all those bytes are 0, and no spilled ones. */
function areZero(frame: Frame, first: number, end: number): boolean {
  for (let offset = first; offset < end; offset++) {
    if (frame.stack[slotOf(offset)]?.bytes[byteOf(offset)] !== 'zero') return false;
  }
  return true;
}

/** The number that `size` bytes hold, if that is known: spilled as just these bytes, or zeros. Safety rests on it then. */
export function constantBytes(frame: Frame, offset: number, size: AccessSize): number | undefined {
  const slot = frame.stack[slotOf(offset)];
  const at = byteOf(offset);
  if (slot === undefined || offset < -STACK_SIZE) return undefined;
  const { spilled, bytes } = slot;
  if (at === 0 && spilled?.kind === 'scalar' && bytes[size - 1] === 'spilled' && bytes[size] !== 'spilled') {
    const number = constantOf(truncated(spilled.scalar, size));
    if (number === undefined) return undefined;
    markPrecise(spilled);
    return Number(number);
  }
  for (let byte = at; byte < at + size; byte++) if (bytes[byte] !== 'zero') return undefined;
  return 0;
}

/** Whoever writes there may write anything. */
export function writeBytes(frame: Frame, first: number, end: number): void {
  for (let offset = first; offset < end; ) {
    const at = byteOf(offset);
    const until = Math.min(SLOT_SIZE, at + end - offset);
    const index = slotOf(offset);
    frame.stack[index] = overwritten(frame.stack[index], at, until, 'misc');
    offset += until - at;
  }
}

/**
 * The bytes that an access may touch.
 *
 * @throws {VerifierError} VERIFIER_STACK_ACCESS, VERIFIER_MISALIGNED
 */
export function checkStackRange(access: Access, alignment: 'aligned' | 'any' = 'aligned'): StackRange {
  const { step, register, pointer, offset, size, mode } = access;
  if (pointer.region.kind !== 'stack') throw new TypeError('not a pointer to a stack');
  const fixed = pointer.offset + offset;
  const { smin, smax, bits } = pointer.variable;
  const isKnown = bits.mask === 0n;
  const what = mode === 'read' ? 'read from' : 'write to';
  const say = (text: string): Error => refuse(step, 'VERIFIER_STACK_ACCESS', text);
  if (alignment === 'aligned') checkAlignment(access, fixed);
  if (!isKnown && (smax >= BigInt(MAX_OFFSET) || smin <= -BigInt(MAX_OFFSET))) {
    throw say(`invalid unbounded variable-offset ${what} stack R${register}`);
  }
  const first = Number(smin) + fixed;
  const last = Number(smax) + fixed;
  if (first < -STACK_SIZE || first >= 0 || last + size > 0) {
    throw isKnown
      ? say(`invalid ${what} stack R${register} off=${first} size=${size}`)
      : say(
          `invalid variable-offset ${what} stack R${register} var_off=${describeBits(pointer.variable)} off=${fixed} size=${size}`,
        );
  }
  const frame = step.state.frames[pointer.region.frame]!;
  step.useStack(frame.subprogram, -first);
  return { frame, first, last };
}

/** What is spilled is found again only if accesses are aligned. */
function checkAlignment({ step, pointer, offset, size }: Access, fixed: number): void {
  const { value, mask } = pointer.variable.bits;
  const low = BigInt(size - 1);
  if ((mask & low) === 0n && ((value + BigInt(fixed)) & low) === 0n) return;
  throw refuse(
    step,
    'VERIFIER_MISALIGNED',
    `misaligned stack access off ${describeBits(pointer.variable)}+${pointer.offset}+${offset} size ${size}`,
  );
}

function fill({ step, size }: WordAccess, slot: StackSlot, at: number): RegisterValue {
  const { spilled, bytes } = slot;
  if (spilled !== undefined) {
    const spilledBytes = bytes.lastIndexOf('spilled') + 1;
    if (spilled.kind === 'pointer') {
      if (size === SLOT_SIZE) return spilled;
      throw refuse(step, 'VERIFIER_STACK_ACCESS', 'invalid size of register fill');
    }
    if (at === 0 && size <= spilledBytes) {
      const cut = truncated(spilled.scalar, size);
      return cut === spilled.scalar ? spilled : number(cut, spilled);
    }
  }
  for (let byte = at; byte < at + size; byte++) if (byteKind(slot, byte) !== 'zero') return number(LOADED[size]);
  if (spilled?.kind === 'scalar') markPrecise(spilled);
  return number(constantScalar(0n));
}

/** A spilled 0 is as good as bytes of 0. */
function byteKind(slot: StackSlot | undefined, byte: number): ByteKind {
  const kind = slot?.bytes[byte] ?? 'invalid';
  if (kind !== 'spilled') return kind;
  const { spilled } = slot!;
  const isZero = spilled?.kind === 'scalar' && constantOf(spilled.scalar) === 0n;
  return isZero ? 'zero' : 'misc';
}

/** The slot with other bytes; what was spilled there is in pieces then. */
function overwritten(before: StackSlot | undefined, from: number, until: number, kind: ByteKind): StackSlot {
  if (from === 0 && until === SLOT_SIZE) return new StackSlot(WHOLE[kind]);
  const bytes = Array.from({ length: SLOT_SIZE }, (_, byte) =>
    byte >= from && byte < until ? kind : pieceOf(before, byte),
  );
  return new StackSlot(bytes, undefined, before);
}

/** Bytes of a slot whose lowest `size` bytes get a new number. */
function spillInto(before: StackSlot | undefined, size: number): ByteKind[] {
  return Array.from({ length: SLOT_SIZE }, (_, byte) => (byte < size ? 'spilled' : pieceOf(before, byte)));
}

/** What a byte is once it is no longer part of something spilled. */
function pieceOf(before: StackSlot | undefined, byte: number): ByteKind {
  const kind = before?.bytes[byte] ?? 'invalid';
  return kind === 'spilled' ? 'misc' : kind;
}

/** Slot 0 holds bytes -8 to -1. */
export function slotOf(offset: number): number {
  return Math.floor((-offset - 1) / SLOT_SIZE);
}

/** Counted from the lowest address of the slot. */
function byteOf(offset: number): number {
  return (offset + STACK_SIZE) % SLOT_SIZE;
}
