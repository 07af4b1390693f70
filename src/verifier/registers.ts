/**
 * Follows what is known of r0 to r10 through one function until nothing changes: which are initialised, and which hold
 * the frame pointer plus a constant. From that follow reads of unwritten registers and the bytes of stack in use.
 */
import type { Helper } from '../helpers/helper.ts';
import type { SubprogramFlow } from '../insn/control-flow.ts';
import { type Operation, operationOf } from '../insn/form.ts';
import type { Insn } from '../insn/insn.ts';
import { FRAME_POINTER, REGISTER_COUNT } from '../insn/opcode.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { effectsOf } from './effects.ts';
import { refusal } from './errors.ts';

/** What callers need to know of a function. */
export interface FunctionSummary {
  /** How many bytes below its frame pointer it may touch: a multiple of 8, at most 512. */
  readonly frameSize: number;
  /** How many of them it names itself: what the kernel counts as its depth. Others may be reached through a pointer that it gave away. */
  readonly namedSize: number;
  /** Those of r1 to r5 whose incoming value it may read. */
  readonly reads: ReadonlySet<number>;
  /** True if r0 is written on every path to every exit. */
  readonly returns: boolean;
}

/** What surrounds a function. */
export interface Surroundings {
  readonly helpers: ReadonlyMap<number, Pick<Helper, 'args' | 'returns'>>;
  /** How many of r1 to r5 are initialised; `from caller`: whatever the caller has there, to be summarised. */
  readonly arguments: number | 'from caller';
  /** The summary of what the local call at index `insn` calls. */
  callee(insn: number): FunctionSummary;
}

/** What is known of an initialised register. */
interface Known {
  /** It may hold the frame pointer plus that many bytes, or plus something unknown; undefined: it does not. */
  readonly pointer: number | 'unknown' | undefined;
  /** It may hold what the caller left there, initialised or not. */
  readonly argument: boolean;
}

/** undefined: not written on some path to here. */
type Value = Known | undefined;
type Registers = Value[];
type Callee = Extract<Operation, { kind: 'call' }>['callee'];

const STACK_SIZE = 512;
const ARGUMENTS = [1, 2, 3, 4, 5];
const ANY: Known = { pointer: undefined, argument: false };
const INCOMING: Known = { pointer: undefined, argument: true };

/**
 * Checks one function; those it calls come first.
 *
 * @throws {VerifierError} VERIFIER_UNINITIALIZED, VERIFIER_STACK_ACCESS
 */
export function checkRegisters(
  program: LinkedProgram,
  { blocks }: SubprogramFlow,
  surroundings: Surroundings,
): FunctionSummary {
  const walk = new FunctionWalk(program, surroundings);
  const incoming: Registers[] = [walk.initial()];
  const pending = [0];
  for (let block = pending.pop(); block !== undefined; block = pending.pop()) {
    const { start, end, successors } = blocks[block]!;
    const registers = [...incoming[block]!];
    for (let index = start; index < end; index++) walk.step(registers, index);
    for (const successor of successors) {
      const known = incoming[successor];
      const merged =
        known === undefined ? [...registers] : known.map((value, register) => merge(value, registers[register]));
      if (known?.every((value, register) => value === merged[register])) continue;
      incoming[successor] = merged;
      pending.push(successor);
    }
  }
  return walk.summary();
}

class FunctionWalk {
  readonly #program: LinkedProgram;
  readonly #surroundings: Surroundings;
  readonly #reads = new Set<number>();
  #deepest = 0;
  #named = 0;
  #returns = true;

  constructor(program: LinkedProgram, surroundings: Surroundings) {
    this.#program = program;
    this.#surroundings = surroundings;
  }

  initial(): Registers {
    const registers: Registers = Array.from({ length: REGISTER_COUNT }, () => undefined);
    const given = this.#surroundings.arguments;
    for (const register of ARGUMENTS) {
      if (given === 'from caller') registers[register] = INCOMING;
      else if (register <= given) registers[register] = ANY;
    }
    registers[FRAME_POINTER] = { pointer: 0, argument: false };
    return registers;
  }

  summary(): FunctionSummary {
    const [frameSize, namedSize] = [this.#deepest, this.#named].map((bytes) => Math.ceil(bytes / 8) * 8) as [
      number,
      number,
    ];
    return { frameSize, namedSize, reads: this.#reads, returns: this.#returns };
  }

  /** Applies instruction `index` to `registers`. */
  step(registers: Registers, index: number): void {
    const insn = this.#program.insns[index]!;
    const operation = operationOf(insn);
    if (operation.kind === 'exit' && this.#surroundings.arguments === 'from caller') {
      // A function that returns nothing leaves r0 unwritten; then its callers may not read it.
      this.#returns &&= registers[0] !== undefined;
      return;
    }
    const { reads, writes } = effectsOf(insn);
    for (const register of reads) this.#read(registers, register, index);
    if (operation.kind === 'call') {
      const result = this.#call(registers, operation.callee, insn, index);
      for (const register of writes) registers[register] = register === 0 ? result : undefined;
    } else {
      const result = this.#result(registers, operation, insn, index);
      for (const register of writes) registers[register] = result;
    }
  }

  #read(registers: Registers, register: number, index: number): void {
    const value = registers[register];
    if (value === undefined) throw refusal(this.#program, index, 'VERIFIER_UNINITIALIZED', `R${register} !read_ok`);
    if (value.argument) this.#reads.add(register);
  }

  /** What r0 is known to hold after a call. */
  #call(registers: Registers, callee: Callee, insn: Insn, index: number): Value {
    if (callee === 'helper') {
      const { args, returns } = this.#surroundings.helpers.get(insn.imm)!;
      for (const [place, register] of ARGUMENTS.slice(0, args.length).entries()) {
        if (args[place] === 'optional' && registers[register] === undefined) continue;
        this.#read(registers, register, index);
        this.#checkStack(registers, register, 0, 1, 'access to', index);
      }
      return returns === 'void' ? undefined : ANY;
    }
    for (const register of ARGUMENTS) this.#escape(registers[register]);
    if (callee !== 'local') return ANY;
    const { reads, returns } = this.#surroundings.callee(index);
    for (const register of reads) this.#read(registers, register, index);
    return returns ? ANY : undefined;
  }

  /** What the register that an instruction writes, if any, is known to hold after it. */
  #result(registers: Registers, operation: Operation, insn: Insn, index: number): Value {
    switch (operation.kind) {
      case 'load':
        this.#checkStack(registers, insn.src, insn.offset, operation.size, 'read from', index);
        return ANY;
      case 'store':
        this.#checkStack(registers, insn.dst, insn.offset, operation.size, 'write to', index);
        if (operation.operand === 'src') this.#escape(registers[insn.src]);
        return ANY;
      case 'atomic':
        this.#checkStack(registers, insn.dst, insn.offset, operation.size, 'write to', index);
        this.#escape(registers[insn.src]);
        return ANY;
      case 'alu': {
        const known = movedPointer(registers, operation, insn);
        if (known === undefined) for (const register of effectsOf(insn).reads) this.#escape(registers[register]);
        return known ?? ANY;
      }
      case 'neg':
      case 'movsx':
      case 'endian':
        for (const register of effectsOf(insn).reads) this.#escape(registers[register]);
        return ANY;
      default:
        return ANY;
    }
  }

  /** If `base` holds the frame pointer plus a constant, the access must lie in the frame, which grows to hold it. */
  #checkStack(registers: Registers, base: number, offset: number, size: number, access: string, index: number): void {
    const pointer = registers[base]?.pointer;
    if (pointer === 'unknown') this.#escape(registers[base]);
    if (typeof pointer !== 'number') return;
    const from = pointer + offset;
    if (from < -STACK_SIZE || from + size > 0) {
      const reason = `invalid ${access} stack R${base} off=${from} size=${size}`;
      throw refusal(this.#program, index, 'VERIFIER_STACK_ACCESS', reason);
    }
    this.#deepest = Math.max(this.#deepest, -from);
    this.#named = Math.max(this.#named, -from);
  }

  /** A pointer into the frame goes where it is not followed: any byte of the frame may be touched through it. */
  #escape(value: Value): void {
    if (value?.pointer === undefined) return;
    this.#deepest = STACK_SIZE;
    if (value.pointer !== 'unknown') this.#named = Math.min(STACK_SIZE, Math.max(this.#named, -value.pointer));
  }
}

/** What is known where two paths meet; `a` itself if `b` adds nothing. */
function merge(a: Value, b: Value): Value {
  if (a === undefined || b === undefined) return undefined;
  const pointer = a.pointer === b.pointer ? a.pointer : 'unknown';
  const argument = a.argument || b.argument;
  return pointer === a.pointer && argument === a.argument ? a : { pointer, argument };
}

/** The frame pointer plus a constant that a 64-bit mov, add or sub makes of one; undefined if it makes none. */
function movedPointer(
  registers: Registers,
  { operator, width, operand }: Extract<Operation, { kind: 'alu' }>,
  { dst, src, imm }: Insn,
): Value {
  const pointer = registers[operator === 'mov' ? src : dst]?.pointer;
  if (width !== 64 || typeof pointer !== 'number') return undefined;
  const at = (offset: number): Known => ({ pointer: offset, argument: false });
  if (operand === 'src') return operator === 'mov' ? at(pointer) : undefined;
  if (operator === 'add') return at(pointer + imm);
  return operator === 'sub' ? at(pointer - imm) : undefined;
}
