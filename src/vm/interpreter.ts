/**
 * The interpreter: the oracle that native code is compared with. Plain above all; every access to memory is checked.
 * Source: RFC 9669, sections 4 and 5.
 */
import type { Helper } from '../helpers/helper.ts';
import { MAX_TAIL_CALLS } from '../helpers/tail-call.ts';
import { disassemble } from '../insn/disassemble.ts';
import { MAY_GOTO_LIMIT } from '../insn/form.ts';
import { SlotMap } from '../insn/layout.ts';
import { FRAME_POINTER, REGISTER_COUNT } from '../insn/opcode.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { VmError } from './errors.ts';
import type { AddressSpace, Region } from './memory.ts';
import { type Machine, makeStep, type Step } from './steps.ts';
import { InterpreterWorld } from './world.ts';

/** Where a program runs. */
export interface InterpreterOptions {
  /** What the program may call, by number. Default: nothing. */
  readonly helpers?: ReadonlyMap<number, Helper>;
  /** Its maps and facts. Default: no maps. It keeps what programs do to it. */
  readonly world?: InterpreterWorld;
  /** The object's, in order: what bpf_tail_call may have go on. Default: none. */
  readonly programs?: readonly LinkedProgram[];
  /** Instructions a run may take. Default: ten million. */
  readonly stepLimit?: number;
  /** The address of the memory that r1 points to, for those who want it to equal another engine's. */
  readonly memoryAddress?: bigint;
  /** The frame pointer of the main function. */
  readonly stackAddress?: bigint;
  /** Sees the registers before each instruction, and how many functions are active besides the main one. Of `programs` each has numbers behind those of the ones before it. */
  readonly observe?: (insn: number, registers: readonly bigint[], depth: number) => void;
}

const DEFAULT_STEP_LIMIT = 10_000_000;
const DEFAULT_MEMORY = 0x3000_0000_0000n;
const DEFAULT_STACK = 0x7000_0000_0000n;
const FRAME_SIZE = 512;
/** From one frame to the next: what lies between is nobody's, so that no access slips from frame to frame. */
const FRAME_DISTANCE = 4096n;
const MAX_FRAMES = 8;
/** r6 to r10 are the caller's again after a call. */
const FIRST_KEPT = 6;
/** Where the exit of the main function goes. */
const END = -1;

/** A program ready to run, any number of times. */
export class Interpreter {
  readonly world: InterpreterWorld;
  /** The program that is run first, then those that may go on; their steps lie one behind the other. */
  readonly #programs: readonly LinkedProgram[];
  readonly #steps: readonly Step[];
  /** Of each, the index of its first step. */
  readonly #starts: readonly number[];
  readonly #helpers: ReadonlyMap<number, Helper>;
  readonly #stepLimit: number;
  readonly #memoryAddress: bigint;
  readonly #stackAddress: bigint;
  readonly #observe: InterpreterOptions['observe'];

  /** @throws {VmError} VM_BAD_MAP */
  constructor(program: LinkedProgram, options: InterpreterOptions = {}) {
    this.world = options.world ?? new InterpreterWorld();
    this.#programs = [program, ...(options.programs ?? [])];
    const steps: Step[] = [];
    this.#starts = this.#programs.map((one) => {
      const start = steps.length;
      for (const step of makeSteps(one, this.world, start)) steps.push(step);
      return start;
    });
    this.#steps = steps;
    this.#helpers = options.helpers ?? new Map();
    this.#stepLimit = options.stepLimit ?? DEFAULT_STEP_LIMIT;
    this.#memoryAddress = options.memoryAddress ?? DEFAULT_MEMORY;
    this.#stackAddress = options.stackAddress ?? DEFAULT_STACK;
    this.#observe = options.observe;
  }

  /**
   * Runs the program on `memory`, which it may write: r1 is its address (0 if it is empty), r2 its size.
   *
   * @returns r0
   * @throws {VmError} VM_BAD_ACCESS, VM_BAD_MAP, VM_UNSUPPORTED, VM_STEP_LIMIT, VM_STACK_OVERFLOW, VM_UNKNOWN_HELPER
   */
  run(memory: Uint8Array): bigint {
    const space = this.world.memory;
    const region = space.map(this.#memoryAddress, memory);
    const machine = new Frames(space, this.#stackAddress, (id, args) => this.#callHelper(id, args));
    machine.registers[1] = memory.length === 0 ? 0n : this.#memoryAddress;
    machine.registers[2] = BigInt(memory.length);
    const progress: Progress = { index: 0, left: this.#stepLimit };
    this.world.callBack = (fn, args) => {
      const { index } = progress;
      machine.enter(END);
      for (const [place, value] of args.entries()) machine.registers[place + 1] = value;
      progress.index = this.world.functionAt(fn);
      this.#goOn(machine, progress);
      progress.index = index;
      return machine.registers[0]!;
    };
    try {
      this.#goOn(machine, progress);
    } catch (error) {
      throw this.#located(error, progress.index);
    } finally {
      machine.unmap();
      space.unmap(region);
    }
    return machine.registers[0]!;
  }

  /** Runs up to the exit of the function that it begins in. */
  #goOn(machine: Frames, progress: Progress): void {
    while (progress.index !== END) {
      if (progress.left-- === 0) throw new VmError('VM_STEP_LIMIT', `it has run ${this.#stepLimit} instructions`);
      this.#observe?.(progress.index, machine.registers, machine.depth);
      progress.index = this.#steps[progress.index]!(machine);
      const number = this.world.takeTailCall();
      if (number !== undefined) progress.index = this.#goOnIn(number, machine) ?? progress.index;
    }
  }

  /** Where the program with that number begins; undefined if there is none, or the run has had its tail calls. */
  #goOnIn(number: number, machine: Frames): number | undefined {
    const start = this.#starts[number];
    return number > 0 && start !== undefined && machine.replace() ? start : undefined;
  }

  #callHelper(id: bigint, args: readonly bigint[]): bigint {
    const helper = id < 2n ** 31n ? this.#helpers.get(Number(id)) : undefined;
    if (helper === undefined) throw new VmError('VM_UNKNOWN_HELPER', `invalid func unknown#${id}`);
    return BigInt.asUintN(64, helper.run(this.world, args));
  }

  /** The same error, saying at which instruction. */
  #located(error: unknown, index: number): unknown {
    if (!(error instanceof VmError)) return error;
    const which = this.#starts.findLastIndex((start) => start <= index);
    const { name, insns } = this.#programs[which]!;
    const insn = insns[index - this.#starts[which]!]!;
    const where = `cannot run ${name} beyond slot ${insn.slot} '${disassemble(insn)}'`;
    return new VmError(error.code, `${where}: ${error.message}`, { cause: error });
  }
}

/** How far a run has come. */
interface Progress {
  /** Of the next instruction. */
  index: number;
  /** How many instructions it may still run. */
  left: number;
}

/** Registers and stack of one run. */
class Frames implements Machine {
  readonly registers: bigint[] = Array.from({ length: REGISTER_COUNT }, () => 0n);
  readonly memory: AddressSpace;
  readonly #callHelper: (id: bigint, args: readonly bigint[]) => bigint;
  readonly #stack: {
    readonly region: Region;
    readonly next: number;
    readonly kept: readonly bigint[];
    passes: number;
  }[] = [];
  #tailCalls = 0;

  constructor(memory: AddressSpace, top: bigint, callHelper: (id: bigint, args: readonly bigint[]) => bigint) {
    this.memory = memory;
    this.#callHelper = callHelper;
    this.registers[FRAME_POINTER] = top + FRAME_DISTANCE;
    this.enter(END);
  }

  /** How many functions are active besides the main one. */
  get depth(): number {
    return this.#stack.length - 1;
  }

  enter(next: number): void {
    if (this.#stack.length === MAX_FRAMES) {
      throw new VmError('VM_STACK_OVERFLOW', `the call stack of ${MAX_FRAMES + 1} frames is too deep !`);
    }
    const kept = this.registers.slice(FIRST_KEPT);
    this.registers[FRAME_POINTER]! -= FRAME_DISTANCE;
    this.#push(next, kept);
  }

  /** Puts a new function in the place of the running one; false if that was done too often. */
  replace(): boolean {
    if (this.#tailCalls === MAX_TAIL_CALLS) return false;
    this.#tailCalls++;
    const { region, next, kept } = this.#stack.pop()!;
    this.memory.unmap(region);
    this.#push(next, kept);
    return true;
  }

  leave(): number {
    const { region, next, kept } = this.#stack.pop()!;
    this.memory.unmap(region);
    kept.forEach((value, index) => {
      this.registers[FIRST_KEPT + index] = value;
    });
    return next;
  }

  mayGoto(): boolean {
    const frame = this.#stack.at(-1)!;
    if (frame.passes === 0) return true;
    frame.passes--;
    return false;
  }

  callHelper(id: bigint): bigint {
    return this.#callHelper(id, this.registers.slice(1, FIRST_KEPT));
  }

  #push(next: number, kept: readonly bigint[]): void {
    const bottom = this.registers[FRAME_POINTER]! - BigInt(FRAME_SIZE);
    const region = this.memory.map(bottom, new Uint8Array(FRAME_SIZE));
    this.#stack.push({ region, next, kept, passes: MAY_GOTO_LIMIT });
  }

  /** Takes away what a run that failed left behind. */
  unmap(): void {
    while (this.#stack.length > 0) this.leave();
  }
}

/** @param start index of the program's first step */
function makeSteps({ insns, references }: LinkedProgram, world: InterpreterWorld, start: number): Step[] {
  const slots = new SlotMap(insns);
  return insns.map((insn, index) => {
    const reference = references.get(index);
    const place = reference?.kind === 'function' ? { ...reference, insn: start + reference.insn } : reference;
    const constant = place === undefined ? (insn.imm64 ?? 0n) : world.resolve(place);
    const target = start + (slots.target(insn) ?? index + 1);
    return makeStep(insn, { next: start + index + 1, target, constant });
  });
}
