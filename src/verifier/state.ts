/** What is known at one place of one path through a program: the active functions with their registers and stacks. */
import type { Callback } from '../helpers/prototype.ts';
import { FRAME_POINTER, REGISTER_COUNT } from '../insn/opcode.ts';
import type { StackSlot } from './stack-slot.ts';
import { Pointer, type RegisterValue } from './value.ts';

/** Stack slots of a function: 512 bytes. Slot 0 holds bytes -8 to -1 of the frame pointer. */
export const SLOT_COUNT = 64;

/** One active function. */
export interface Frame {
  readonly subprogram: number;
  /** The same object in two states is the same run of the function: each counts its own may_goto. */
  readonly activation: object;
  /** Index of the instruction that called it; of no meaning in the first. */
  readonly call: number;
  /** r0 to r10. */
  readonly registers: (RegisterValue | undefined)[];
  /** By slot; undefined where nothing was written. */
  readonly stack: (StackSlot | undefined)[];
  /** The helper that calls it again and again; undefined if it was called by a call. */
  readonly callback: Callback | undefined;
  /** How often helpers of this function have called back so far, if they count. */
  callbacks: number;
  /** How often this run of it passed may_goto so far. */
  passes: number;
  /** The same object in two states is the same call of a helper that calls back, or none. */
  invocation: object;
}

/** Something that has to be given back, and the instruction that got it. */
export interface Reference {
  readonly id: number;
  /** Index of the instruction. */
  readonly insn: number;
  /** How many calls deep. */
  readonly frame: number;
}

/** A place of a path. */
export interface State {
  /** Index of the next instruction. */
  insn: number;
  /** The main function first, the running one last. */
  readonly frames: Frame[];
  /** In order of acquisition. */
  references: readonly Reference[];
  /** How often may_goto was passed, and helpers called back, on the way here. Iterators count for themselves. */
  passes: number;
}

/** The frame of a function about to start. */
export function newFrame(
  subprogram: number,
  call: number,
  depth: number,
  callback: Callback | undefined = undefined,
): Frame {
  const registers: (RegisterValue | undefined)[] = new Array(REGISTER_COUNT).fill(undefined);
  registers[FRAME_POINTER] = new Pointer({ kind: 'stack', frame: depth });
  return { subprogram, activation: {}, call, registers, stack: [], callback, callbacks: 0, passes: 0, invocation: {} };
}

/** The running function. */
export function currentFrame(state: State): Frame {
  return state.frames[state.frames.length - 1]!;
}

/** A copy that can be changed without changing the original. */
export function copyState({ insn, frames, references, passes }: State): State {
  return { insn, frames: frames.map(copyFrame), references, passes };
}

function copyFrame(frame: Frame): Frame {
  return { ...frame, registers: frame.registers.slice(), stack: frame.stack.slice() };
}
