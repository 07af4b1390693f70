/**
 * Follows a program along all its paths, one after the other, with what is known of registers and stack at each place.
 * Ways that are left for later wait on a stack; states that were met before end a path.
 */
import { type Operation, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { SlotMap } from '../insn/layout.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { stepAlu, stepEndian, stepNegate, stepSignExtend } from './alu.ts';
import { stepBranch } from './branch.ts';
import { Reached } from './dead-branches.ts';
import { refusal } from './errors.ts';
import { findFastcallSpills } from './fastcall.ts';
import { stepHelper } from './helper-call.ts';
import { stepKernelFunction } from './kernel-function-call.ts';
import { stepExit, stepLocalCall } from './local-call.ts';
import { stepAtomic, stepLoad, stepLoadImmediate, stepStore } from './memory-insns.ts';
import type { VerifyOptions } from './options.ts';
import { copyState, currentFrame, type Frame, type State } from './state.ts';
import { END, type GlobalFunctions, refuse, type Step } from './step.ts';
import { type Places, StoredStates } from './stored-states.ts';

/** The kernel's BPF_COMPLEXITY_LIMIT_INSNS: instructions looked at, over all paths. */
const MAX_INSNS = 1_000_000;
/** The kernel's BPF_COMPLEXITY_LIMIT_JMP_SEQ: ways left for later at once. */
const MAX_PENDING = 8192;

/** What the search needs to know of the program. */
export interface Surroundings {
  readonly program: LinkedProgram;
  readonly options: VerifyOptions;
  readonly places: Places;
  readonly globals: GlobalFunctions;
  /** Index of a local call, or of a lddw of a function -> the subprogram. */
  readonly calleeAt: ReadonlyMap<number, number>;
}

type StepOf<K extends Operation['kind']> = (step: Search, operation: Extract<Operation, { kind: K }>) => number;

/** A step that goes on with the next instruction. */
function onwards<O>(step: (step: Step, operation: O) => void): (step: Step, operation: O) => number {
  return (at, operation) => {
    step(at, operation);
    return at.index + 1;
  };
}

/** What each kind of instruction does; the result is where it goes on. */
const STEPS: { readonly [K in Operation['kind']]: StepOf<K> } = {
  alu: onwards(stepAlu),
  neg: onwards(stepNegate),
  movsx: onwards(stepSignExtend),
  endian: onwards(stepEndian),
  lddw: onwards(stepLoadImmediate),
  load: onwards(stepLoad),
  store: onwards(stepStore),
  atomic: onwards(stepAtomic),
  jump: (step) => step.targetAt(step.index),
  branch: stepBranch,
  mayGoto: stepMayGoto,
  call: (step, { callee }) => CALLS[callee](step),
  exit: stepExit,
};

const CALLS: Readonly<Record<Extract<Operation, { kind: 'call' }>['callee'], (step: Step) => number>> = {
  helper: stepHelper,
  local: stepLocalCall,
  kfunc: stepKernelFunction,
  register(step) {
    throw refuse(step, 'VERIFIER_UNSUPPORTED', 'unknown opcode 8d: calls by register are not supported');
  },
};

/** One search through one program, and through each of its global functions. It is the step it is at. */
export class Search implements Step {
  readonly program: LinkedProgram;
  readonly options: VerifyOptions;
  readonly globals: GlobalFunctions;
  /** Bits by instruction: it was reached; as a branch it was passed, it was taken. */
  readonly reached: Uint8Array;
  /** Bytes below the frame pointer that each subprogram uses. */
  readonly stackUse: number[];
  /** The same, without slots around calls that need none. */
  readonly countedStack: number[];
  /** Index of a call -> what all maps are like that it is given, where only the running program knows which it is. */
  readonly innerMaps = new Map<number, MapSpec>();
  /** Bytes of the context, from its beginning, that are used. */
  contextUse = 0;
  state!: State;
  frame!: Frame;
  insn!: Insn;
  index = 0;
  insnsProcessed = 0;
  readonly #calleeAt: ReadonlyMap<number, number>;
  readonly #mapAt = new Map<number, MapSpec>();
  readonly #objectMaps: ReadonlySet<MapSpec>;
  readonly #operations: readonly Operation[];
  readonly #targets: Int32Array;
  readonly #places: Places;
  readonly #stored: StoredStates;
  readonly #fastcallSpills: Uint8Array;
  readonly #pending: State[] = [];
  #references = 0;

  constructor({ program, options, places, globals, calleeAt }: Surroundings) {
    this.program = program;
    this.options = options;
    this.globals = globals;
    this.#calleeAt = calleeAt;
    this.#places = places;
    this.#objectMaps = new Set(options.maps.values());
    this.#stored = new StoredStates(places);
    this.reached = new Uint8Array(program.insns.length);
    this.stackUse = program.subprograms.map(() => 0);
    this.countedStack = program.subprograms.map(() => 0);
    this.#fastcallSpills = findFastcallSpills(program, options.helpers);
    const slots = new SlotMap(program.insns);
    this.#operations = program.insns.map(operationOf);
    this.#targets = Int32Array.from(program.insns, (insn) => slots.target(insn) ?? END);
  }

  get peakStates(): number {
    return this.#stored.peak;
  }

  /** Follows all paths from a state. @throws {VerifierError} where one of them does what it may not */
  run(initial: State): void {
    this.#pending.push(initial);
    for (let state = this.#pending.pop(); state !== undefined; state = this.#pending.pop()) {
      this.#stored.closeBeyond(this.#pending.length);
      this.#follow(state);
    }
    this.#stored.closeBeyond(-1);
  }

  calleeAt(insn: number): number {
    return this.#calleeAt.get(insn)!;
  }

  targetAt(insn: number): number {
    return this.#targets[insn]!;
  }

  newReference(): number {
    return ++this.#references;
  }

  later(state: State): void {
    if (this.#pending.length >= MAX_PENDING) {
      throw refuse(this, 'VERIFIER_TOO_COMPLEX', `The sequence of ${MAX_PENDING} jumps is too complex.`);
    }
    this.#pending.push(state);
  }

  goes(way: 'passed' | 'taken'): void {
    this.reached[this.index]! |= way === 'taken' ? Reached.TAKEN : Reached.PASSED;
  }

  accesses(what: 'context' | 'memory'): boolean {
    const [own, other] = what === 'context' ? [Reached.CONTEXT, Reached.MEMORY] : [Reached.MEMORY, Reached.CONTEXT];
    this.reached[this.index]! |= own;
    return (this.reached[this.index]! & other) === 0;
  }

  useContext(end: number): void {
    this.contextUse = Math.max(this.contextUse, end);
  }

  useMap(map: MapSpec): void {
    const known = this.#mapAt.get(this.index);
    if (known === map) return;
    const isInner = !this.#objectMaps.has(map);
    if (known === undefined) {
      this.#mapAt.set(this.index, map);
      if (isInner) this.innerMaps.set(this.index, map);
    } else if (isInner || this.innerMaps.has(this.index)) {
      throw refuse(this, 'VERIFIER_UNSUPPORTED', 'the same insn cannot be given maps of different maps of maps');
    }
  }

  useStack(subprogram: number, bytes: number): void {
    if (bytes > this.stackUse[subprogram]!) this.stackUse[subprogram] = bytes;
    if (bytes > this.countedStack[subprogram]! && this.#fastcallSpills[this.index] === 0) {
      this.countedStack[subprogram] = bytes;
    }
  }

  widen(state: State, isEarlier: (state: State) => boolean): void {
    this.#stored.widen(state, isEarlier);
  }

  #follow(state: State): void {
    const { meeting } = this.#places;
    this.state = state;
    this.frame = currentFrame(state);
    while (state.insn !== END) {
      const index = state.insn;
      this.index = index;
      this.insn = this.program.insns[index]!;
      this.#count();
      if (meeting[index] === 1 && this.#wasMet(state)) return;
      this.options.observe?.(state);
      this.reached[index]! |= Reached.YES;
      const operation = this.#operations[index]!;
      const step = STEPS[operation.kind] as StepOf<Operation['kind']>;
      state.insn = step(this, operation as never);
      this.frame = currentFrame(state);
      this.#stored.tick(this.#targets[index] !== END);
    }
  }

  #count(): void {
    if (this.insnsProcessed++ < MAX_INSNS) return;
    const reason = `BPF program is too large. Processed ${this.insnsProcessed} insn`;
    throw refuse(this, 'VERIFIER_TOO_COMPLEX', reason);
  }

  #wasMet(state: State): boolean {
    const met = this.#stored.meet(state, this.#pending.length);
    if (met !== 'repeats itself') return met === 'covered';
    const { slot } = this.insn;
    throw refusal(this.program, this.index, 'VERIFIER_INFINITE_LOOP', `infinite loop detected at insn ${slot}`);
  }
}

/** Goes on behind it some unknown but bounded number of times. */
function stepMayGoto(step: Search): number {
  const { state, index } = step;
  const passed = copyState(state);
  passed.insn = index;
  step.widen(passed, ({ passes }) => passes < passed.passes);
  passed.insn = index + 1;
  passed.passes++;
  currentFrame(passed).passes++;
  step.later(passed);
  return step.targetAt(index);
}
