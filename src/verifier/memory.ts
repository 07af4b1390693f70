/**
 * Loads, stores and atomic operations: a row a region says what may be read and written there, and what is found.
 * Source: Linux kernel/bpf/verifier.c, check_mem_access.
 */
import type { AccessSize } from '../insn/form.ts';
import { MapFlag } from '../maps/spec-check.ts';
import { bytesAt } from './constant-map.ts';
import { typeName } from './describe-value.ts';
import { S64_MIN } from './interval.ts';
import { MAX_OFFSET } from './pointer-arithmetic.ts';
import { constantOf, constantScalar, describeBits, LOADED } from './scalar.ts';
import { loadStack, storeStack } from './stack-access.ts';
import { number, refuse, type Step } from './step.ts';
import type { MemoryRegion, Pointer, Region, RegisterValue } from './value.ts';

/** One access through a register. */
export interface Access {
  readonly step: Step;
  /** The register that holds `pointer`. */
  readonly register: number;
  readonly pointer: Pointer;
  /** From where `pointer` points. */
  readonly offset: number;
  /** In bytes. */
  readonly size: number;
  readonly mode: 'read' | 'write';
}

/** A load or store of one instruction. */
export type WordAccess = Access & { readonly size: AccessSize };

/** What is there to be read; numbers are zero-extended. @throws {VerifierError} */
export function load(access: WordAccess): RegisterValue {
  if (access.pointer.orNull) throw notMemory(access);
  return LOADS[access.pointer.region.kind](access);
}

/** Writes a value. @throws {VerifierError} */
export function store(access: WordAccess, value: RegisterValue): void {
  const { kind } = access.pointer.region;
  if (access.pointer.orNull) throw notMemory(access);
  if (kind === 'stack') storeStack(access, value);
  else if (kind === 'context') checkContext(access);
  else checkRange(access);
}

/**
 * Checks an access to a region that is one run of bytes, each like the other.
 *
 * @param access whose size may be 0 if `zero` allows it
 */
export function checkRange(access: Access, zero: 'no empty range' | 'may be empty' = 'no empty range'): void {
  const range = RANGES[access.pointer.region.kind];
  if (range === undefined) throw notMemory(access);
  const region = access.pointer.region as never;
  const forbidden = range.forbids(region, access);
  if (forbidden !== undefined) throw refuse(access.step, 'VERIFIER_BAD_ACCESS', forbidden);
  checkBounds(access, zero, range.size(region, access), (off, size) => range.outside(region, off, size));
}

interface Range<R extends Region> {
  size(region: R, access: Access): number;
  /** Why this mode of access is forbidden. */
  forbids(region: R, access: Access): string | undefined;
  outside(region: R, offset: number, size: number): string;
}

type MapValue = Extract<Region, { kind: 'mapValue' }>;
type MapKey = Extract<Region, { kind: 'mapKey' }>;

const RANGES: Readonly<Partial<Record<Region['kind'], Range<never>>>> = {
  mapValue: {
    size: ({ map }) => map.valueSize,
    forbids({ map }, { mode, offset, size }) {
      const flag = mode === 'read' ? MapFlag.WRONLY_PROG : MapFlag.RDONLY_PROG;
      if ((map.flags & flag) === 0) return undefined;
      const what = mode === 'read' ? 'read from' : 'write into';
      return `${what} map forbidden, value_size=${map.valueSize} off=${offset} size=${size}`;
    },
    outside: ({ map }, offset, size) =>
      `invalid access to map value, value_size=${map.valueSize} off=${offset} size=${size}`,
  } satisfies Range<MapValue>,
  mapKey: {
    size: ({ map }) => map.keySize,
    forbids: (_, { mode, register }) => (mode === 'write' ? `write to change key R${register} not allowed` : undefined),
    outside: ({ map }, offset, size) => `invalid access to map key, key_size=${map.keySize} off=${offset} size=${size}`,
  } satisfies Range<MapKey>,
  memory: {
    size: ({ size }) => size,
    forbids: ({ writable }, { mode, register, pointer }) =>
      mode === 'write' && !writable ? `R${register} cannot write into ${typeName(pointer)}` : undefined,
    outside: (region, offset, size) => `invalid access to memory, mem_size=${region.size} off=${offset} size=${size}`,
  } satisfies Range<MemoryRegion>,
};

const LOADS: Readonly<Record<Region['kind'], (access: WordAccess) => RegisterValue>> = {
  stack: loadStack,
  context: loadContext,
  mapValue: loadMapValue,
  mapKey: loadBytes,
  memory: loadBytes,
  map: loadBytes,
  function: loadBytes,
  task: loadBytes,
  dynptr: loadBytes,
};

function loadBytes(access: WordAccess): RegisterValue {
  checkRange(access);
  return number(LOADED[access.size]);
}

/** Constants of a map that nobody may write are known. */
function loadMapValue(access: WordAccess): RegisterValue {
  checkRange(access);
  const { pointer, offset, size } = access;
  const variable = constantOf(pointer.variable);
  const map = (pointer.region as MapValue).map;
  if (variable === undefined) return number(LOADED[size]);
  const bytes = bytesAt(map, pointer.offset + Number(variable) + offset, size);
  return number(bytes === undefined ? LOADED[size] : constantScalar(bytes));
}

function loadContext(access: WordAccess): RegisterValue {
  checkContext(access);
  return number(LOADED[access.size]);
}

/** Contexts are read whole fields at a time, at offsets that the instruction says. */
function checkContext({ step, register, pointer, offset, size, mode }: Access): void {
  const { context, writable } = step.options.kind;
  if (pointer.offset !== 0) throw refuse(step, 'VERIFIER_BAD_ACCESS', movedReason(pointer, register));
  if (constantOf(pointer.variable) !== 0n) {
    throw refuse(
      step,
      'VERIFIER_BAD_ACCESS',
      `variable ctx access var_off=${describeBits(pointer.variable)} disallowed`,
    );
  }
  const inside = offset >= context.first && offset + size <= context.size && offset % size === 0;
  const isWritable = step.options.allow.has('override') && size === 8 && writable.includes(offset);
  if (inside && (mode === 'read' || isWritable)) {
    step.useContext(offset + size);
    return;
  }
  throw refuse(step, 'VERIFIER_BAD_ACCESS', `invalid bpf_context access off=${offset} size=${size}`);
}

/** Why a pointer that must be as it was given is refused. */
export function movedReason(pointer: Pointer, register: number): string {
  const what = `${typeName(pointer)} ptr R${register} off=${pointer.offset} disallowed`;
  return pointer.offset < 0 ? `negative offset ${what}` : `dereference of modified ${what}`;
}

/** The error for a register that does not point to memory. */
export function notMemory({
  step,
  register,
  pointer,
}: Pick<Access, 'step' | 'register'> & { pointer: RegisterValue }): Error {
  return refuse(step, 'VERIFIER_BAD_ACCESS', `R${register} invalid mem access '${typeName(pointer)}'`);
}

/** Checks both ends of where a pointer may point. */
function checkBounds(
  { step, register, pointer, offset, size }: Access,
  zero: 'no empty range' | 'may be empty',
  regionSize: number,
  outside: (offset: number, size: number) => string,
): void {
  const fixed = pointer.offset + offset;
  const { smin, umax } = pointer.variable;
  const inside = (from: number): boolean =>
    from >= 0 && (size > 0 || zero === 'may be empty') && from + size <= regionSize;
  const say = (text: string): Error => refuse(step, 'VERIFIER_BAD_ACCESS', text);
  if (smin < 0n && (smin === S64_MIN || smin + BigInt(fixed) < 0n)) {
    throw say(`R${register} min value is negative, either use unsigned index or do a if (index >=0) check.`);
  }
  const low = Number(smin) + fixed;
  if (!inside(low)) throw say(`${outside(low, size)}: R${register} min value is outside of the allowed memory range`);
  if (umax >= BigInt(MAX_OFFSET)) {
    throw say(`R${register} unbounded memory access, make sure to bounds check any such access`);
  }
  const high = Number(umax) + fixed;
  if (!inside(high)) throw say(`${outside(high, size)}: R${register} max value is outside of the allowed memory range`);
}
