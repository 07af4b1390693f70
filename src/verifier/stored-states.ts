/**
 * States that were met, by instruction: a new one that an old one covers need not be followed. Which are kept, and for how
 * long, decides only about speed. Source: Linux kernel/bpf/verifier.c, is_state_visited.
 */
import { type Comparison, covers, passOnDemands, shareDemands } from './covers.ts';
import { hasDrawn } from './iterator.ts';
import { ANY, sameScalar } from './scalar.ts';
import { StackSlot, WHOLE } from './stack-slot.ts';
import { copyState, currentFrame, type State } from './state.ts';
import { number } from './step.ts';
import type { RegisterValue } from './value.ts';

/** A state that was met. */
interface Stored {
  readonly state: State;
  /** Ways that had been left for later when it was met: while as many are left it is not followed to all its ends. */
  readonly pendingBefore: number;
  /** A state to come may be covered by this one although it is not followed to all its ends. */
  readonly isConverging: boolean;
  isOpen: boolean;
  hits: number;
  misses: number;
}

/** What instructions are to the search. */
export interface Places {
  /** 1 where states are compared: where paths may meet. */
  readonly meeting: Uint8Array;
  /** 1 where a state is covered also by one that is still being followed: loops whose end is not counted. */
  readonly converging: Uint8Array;
  /** 1 at those of them that ask an iterator for what comes next. */
  readonly drawing: Uint8Array;
  /** 1 inside such loops, and in what they call: nothing there is followed to its end before the loop is. */
  readonly unsettled: Uint8Array;
  /** 1 where one path may come more than once: in loops, in functions that are called, where helpers call back. */
  readonly recurring: Uint8Array;
  /** By instruction, a bit a register. */
  readonly live: Uint16Array;
}

/** What became of a state. */
export type Met = 'new' | 'covered' | 'repeats itself';

/** How many misses a state may have more than three times its hits, before it is dropped. */
const PATIENCE = 3;
const LOOP_PATIENCE = 64;

/** The stored states of one program. */
export class StoredStates {
  readonly #places: Places;
  readonly #byInsn: (Stored[] | undefined)[] = [];
  /** Those that are not followed to all their ends, in order. */
  readonly #open: Stored[] = [];
  /** References and runs of functions that open states hold which loops may go back to -> how many of these. */
  readonly #kept = new Map<number | object, number>();
  #count = 0;
  #peak = 0;
  #insnsSince = 0;
  #jumpsSince = 0;

  constructor(places: Places) {
    this.#places = places;
  }

  get peak(): number {
    return this.#peak;
  }

  /** Notes an instruction that was stepped over. */
  tick(isJump: boolean): void {
    this.#insnsSince++;
    if (isJump) this.#jumpsSince++;
  }

  /** Notes that so many ways are left for later, the last one having been taken up. */
  closeBeyond(pending: number): void {
    for (let last = this.#open.at(-1); last !== undefined && last.pendingBefore > pending; last = this.#open.at(-1)) {
      last.isOpen = false;
      this.#open.pop();
      if (last.isConverging) this.#keep(last.state, -1);
    }
  }

  /** Looks whether a state is covered, and stores it if not. */
  meet(state: State, pending: number): Met {
    const { converging, unsettled, recurring } = this.#places;
    // Nobody comes here again.
    if (pending === 0 && recurring[state.insn] === 0 && this.#byInsn[state.insn] === undefined) return 'new';
    const isForced = converging[state.insn] === 1;
    let isKept = isForced || (this.#jumpsSince >= 2 && this.#insnsSince >= 8);
    const stored = this.#byInsn[state.insn] ?? [];
    for (let place = 0; place < stored.length; ) {
      const old = stored[place]!;
      if (old.isOpen) {
        if (isForced && this.#hasCome(old.state, state)) {
          if (this.#isCovered(old, state, 'within')) return 'covered';
        } else if (this.#isSame(old.state, state)) {
          return 'repeats itself';
        }
        if (!isForced && this.#jumpsSince < 20 && this.#insnsSince < 100) isKept = false;
      } else if (this.#isCovered(old, state, unsettled[state.insn] === 1 ? 'within' : 'demanded')) {
        return 'covered';
      }
      if (isKept) old.misses++;
      const patience = isForced && old.isOpen ? LOOP_PATIENCE : PATIENCE;
      if (old.misses > old.hits * patience + patience) {
        stored.splice(place, 1);
        this.#count--;
      } else {
        place++;
      }
    }
    if (isKept) this.#store(state, pending, stored);
    return 'new';
  }

  /** Forgets what an earlier state at this place did not rest on and this one has otherwise: loops end sooner so. */
  widen(state: State, isEarlier: (state: State) => boolean): void {
    // The latest comes first.
    const earlier = this.#byInsn[state.insn]?.find(
      ({ isOpen, state: old }) => isOpen && isEarlier(old) && isSamePlace(old, state),
    )?.state;
    if (earlier === undefined) return;
    for (const [depth, { registers, stack }] of state.frames.entries()) {
      const old = earlier.frames[depth]!;
      for (let register = 0; register < registers.length; register++) {
        if (isWider(old.registers[register], registers[register])) registers[register] = number(ANY);
      }
      for (let slot = 0; slot < stack.length; slot++) {
        const now = stack[slot];
        if (now?.bytes === WHOLE.spilled && isWider(old.stack[slot]?.spilled, now.spilled)) {
          stack[slot] = new StackSlot(WHOLE.spilled, number(ANY));
        }
      }
    }
  }

  /** Whether something was used up on the way from a state to the later one at the same place: then there is no going round for ever. */
  #hasCome(old: State, state: State): boolean {
    if (this.#places.drawing[state.insn] === 1) return hasDrawn(old, state);
    const [before, now] = [currentFrame(old), currentFrame(state)];
    // What is called in every round begins to count anew in every round.
    if (before.activation !== now.activation) return false;
    return before.passes < now.passes || (before.invocation === now.invocation && before.callbacks < now.callbacks);
  }

  #store(state: State, pending: number, stored: Stored[]): void {
    const kept: Stored = {
      state: copyState(state),
      pendingBefore: pending,
      isConverging: this.#places.converging[state.insn] === 1,
      ...{ isOpen: true, hits: 0, misses: 0 },
    };
    noteStored(kept.state);
    if (kept.isConverging) this.#keep(kept.state, 1);
    this.#open.push(kept);
    this.#byInsn[state.insn] = [kept, ...stored];
    this.#count++;
    this.#peak = Math.max(this.#peak, this.#count);
    this.#insnsSince = 0;
    this.#jumpsSince = 0;
  }

  #keep({ insn, references, frames }: State, by: 1 | -1): void {
    // Where an iterator is asked, who asks does not matter.
    const runs = this.#places.drawing[insn] === 1 ? [] : frames.map(({ activation }) => activation);
    for (const what of [...references.map(({ id }) => id), ...runs]) {
      const count = (this.#kept.get(what) ?? 0) + by;
      if (count === 0) this.#kept.delete(what);
      else this.#kept.set(what, count);
    }
  }

  #isCovered(old: Stored, state: State, mode: Comparison): boolean {
    const found = covers(old.state, state, mode, this.#places.live, mode === 'within' ? this.#kept : undefined);
    if (found === undefined) return false;
    old.hits++;
    if (mode === 'demanded') passOnDemands(found);
    else shareDemands(found);
    return true;
  }

  #isSame(old: State, state: State): boolean {
    return hasCountedAlike(old, state) && covers(old, state, 'exact', this.#places.live) !== undefined;
  }
}

function noteStored({ frames }: State): void {
  for (const { registers, stack } of frames) {
    for (const value of registers) if (value?.kind === 'scalar') value.stored = true;
    for (const slot of stack) {
      if (slot === undefined) continue;
      slot.stored = true;
      if (slot.spilled?.kind === 'scalar') slot.spilled.stored = true;
    }
  }
}

/** Whether all that ends loops by counting stands where it stood. */
function hasCountedAlike(old: State, { frames }: State): boolean {
  return (
    old.frames.length === frames.length &&
    frames.every(({ passes, callbacks }, depth) => {
      const before = old.frames[depth]!;
      return passes === before.passes && callbacks === before.callbacks;
    })
  );
}

function isSamePlace(a: State, b: State): boolean {
  return (
    a.insn === b.insn &&
    a.frames.length === b.frames.length &&
    a.frames.every(({ call, subprogram }, depth) => {
      const other = b.frames[depth]!;
      return call === other.call && subprogram === other.subprogram;
    })
  );
}

function isWider(old: RegisterValue | undefined, now: RegisterValue | undefined): boolean {
  if (old?.kind !== 'scalar' || now?.kind !== 'scalar') return false;
  return !old.precise && !now.precise && !sameScalar(old.scalar, now.scalar);
}
