/** Eight bytes of a stack, by byte: spilled, written, zero, or not written. Immutable but for the note that it was read. */
import type { Dynptr, RegisterValue } from './value.ts';

/** `spilled`: part of a register that was stored; `misc`: anything. */
export type ByteKind = 'invalid' | 'spilled' | 'misc' | 'zero';

const SLOT_SIZE = 8;

/** One half of a dynptr, which takes two slots: the lower addresses are the first. */
export interface DynptrHalf {
  readonly kind: 'dynptr';
  readonly dynptr: Dynptr;
  readonly half: 'first' | 'second';
}

/** What numbers are drawn from. */
export interface Iterator {
  readonly kind: 'iterator';
  /** It has to be destroyed. The same number is the same iterator. */
  readonly reference: number;
  /** True once it was asked and had nothing left. */
  readonly isDrained: boolean;
  /** How often something was drawn from it on the way here. */
  readonly depth: number;
}

/** What a slot holds. */
export class StackSlot {
  /** By byte, lowest address first. */
  readonly bytes: readonly ByteKind[];
  /** What was stored by its lowest bytes: all of a register, or the low half, two or one bytes of a number. */
  readonly spilled: RegisterValue | undefined;
  /** What only helpers read and write; its bytes are anything. */
  readonly part: DynptrHalf | Iterator | undefined;
  /** True once the program read what is here: a state in which it differs is not the same. */
  read = false;
  /** True once a stored state holds it. */
  stored = false;
  /** Slots that matter if it does: what it is partly a copy of, what a state that stands for another has there. */
  readonly bases: StackSlot[] = [];

  constructor(
    bytes: readonly ByteKind[],
    spilled: RegisterValue | undefined = undefined,
    basis?: StackSlot,
    part?: DynptrHalf | Iterator,
  ) {
    this.bytes = bytes;
    this.spilled = spilled;
    this.part = part;
    if (basis === undefined || basis.read) return;
    // What no stored state holds is never compared: what it was made of is in its place.
    if (basis.stored) this.bases.push(basis);
    else this.bases.push(...basis.bases);
  }

  /** Notes that the program read it, and so all it was made of. */
  markRead(): void {
    const pending: StackSlot[] = [this];
    for (let slot = pending.pop(); slot !== undefined; slot = pending.pop()) {
      if (slot.read) continue;
      slot.read = true;
      pending.push(...slot.bases.splice(0));
    }
  }
}

/** Eight bytes of one kind. */
export const WHOLE: Readonly<Record<ByteKind, readonly ByteKind[]>> = {
  invalid: new Array<ByteKind>(SLOT_SIZE).fill('invalid'),
  spilled: new Array<ByteKind>(SLOT_SIZE).fill('spilled'),
  misc: new Array<ByteKind>(SLOT_SIZE).fill('misc'),
  zero: new Array<ByteKind>(SLOT_SIZE).fill('zero'),
};
