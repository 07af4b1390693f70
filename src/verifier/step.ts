/** What every transfer function works on: one instruction about to be stepped over in one state. */
import type { Insn } from '../insn/insn.ts';
import { FRAME_POINTER } from '../insn/opcode.ts';
import type { MapSpec } from '../maps/map-type.ts';
import type { LinkedProgram } from '../object/spec.ts';
import { refusal, type VerifierErrorCode } from './errors.ts';
import type { VerifyOptions } from './options.ts';
import { constantOf, constantScalar, type Scalar } from './scalar.ts';
import type { Signature } from './signature.ts';
import type { Frame, State } from './state.ts';
import { derived, markPrecise, type Pointer, type RegisterValue, ScalarValue } from './value.ts';

/** The functions of a program that are verified by themselves. */
export interface GlobalFunctions {
  /** Notes that it is called; undefined if it is static: then it is verified with each of its callers. */
  signatureOf(subprogram: number): Signature | undefined;
}

/** Returned by a step after which the path goes nowhere. */
export const END = -1;

/** One instruction, the state before it, and what surrounds both. */
export interface Step {
  readonly program: LinkedProgram;
  readonly options: VerifyOptions;
  readonly state: State;
  /** The running function. */
  readonly frame: Frame;
  readonly insn: Insn;
  /** Of the instruction. */
  readonly index: number;
  /** Functions that are verified by themselves. */
  readonly globals: GlobalFunctions;
  /** Index of a local call or of a lddw of a function -> the subprogram. */
  calleeAt(insn: number): number;
  /** Index of the instruction that a jump or branch goes to. */
  targetAt(insn: number): number;
  /** A number nobody has yet, for a reference. */
  newReference(): number;
  /** Another way on: to be looked at later. */
  later(state: State): void;
  /** Forgets what an earlier state at the same place, on the same path, did not rest on; `isEarlier` says which states count. */
  widen(state: State, isEarlier: (state: State) => boolean): void;
  /** Notes that a branch goes this way. */
  goes(way: 'passed' | 'taken'): void;
  /** Notes what the instruction accesses; false if it was something else before. */
  accesses(what: 'context' | 'memory'): boolean;
  /** Notes that the program touches this many bytes of its context. */
  useContext(end: number): void;
  /** Notes that the instruction is given a map. @throws {VerifierError} VERIFIER_UNSUPPORTED if it is not always of one shape */
  useMap(map: MapSpec): void;
  /** Notes how many bytes below its frame pointer a subprogram uses. */
  useStack(subprogram: number, bytes: number): void;
}

/** The error for this instruction. */
export function refuse(step: Step, code: VerifierErrorCode, reason: string): Error {
  return refusal(step.program, step.index, code, reason);
}

/** What a register holds. @throws {VerifierError} VERIFIER_UNINITIALIZED */
export function read(step: Step, register: number): RegisterValue {
  const value = step.frame.registers[register];
  if (value === undefined) throw refuse(step, 'VERIFIER_UNINITIALIZED', `R${register} !read_ok`);
  return value;
}

/** Puts a value into a register. */
export function write(step: Step, register: number, value: RegisterValue): void {
  if (register === FRAME_POINTER) throw refuse(step, 'VERIFIER_FRAME_POINTER', 'frame pointer is read only');
  step.frame.registers[register] = value;
}

/** The second operand: a register or the immediate. */
export function operand(step: Step, from: 'imm' | 'src'): RegisterValue {
  return from === 'src' ? read(step, step.insn.src) : new ScalarValue(immediate(step.insn));
}

/** Immediates are sign-extended to 64 bits. */
export function immediate({ imm }: Insn): Scalar {
  return constantScalar(BigInt(imm));
}

/** The number that a register must hold, exactly; undefined if it is not known or none. Safety then rests on it. */
export function exactly(value: RegisterValue): bigint | undefined {
  if (value.kind !== 'scalar') return undefined;
  const number = constantOf(value.scalar);
  if (number !== undefined) markPrecise(value);
  return number;
}

/** A number computed from others, which may be pointers: of those nothing is known. */
export function number(scalar: Scalar, a?: RegisterValue, b?: RegisterValue): ScalarValue {
  return derived(scalar, a?.kind === 'scalar' ? a : undefined, b?.kind === 'scalar' ? b : undefined);
}

/** The map of an object by its name. */
export function mapNamed(step: Step, name: string): MapSpec {
  const map = step.options.maps.get(name);
  if (map === undefined) throw refuse(step, 'VERIFIER_UNRESOLVED', `map ${name} is not there`);
  return map;
}

/** True for the pointers that cannot be 0: a comparison with 0 has one outcome. */
export function cannotBeNull({ region: { kind }, orNull }: Pointer): boolean {
  return !orNull && (kind === 'mapValue' || kind === 'mapKey' || kind === 'memory' || kind === 'map');
}
