/**
 * What a helper's prototype asks of each argument: a row a kind of argument.
 * Source: Linux kernel/bpf/verifier.c, check_func_arg, check_mem_size_reg.
 */
import { parseFormat } from '../helpers/printk-format.ts';
import type { ArgType, Prototype } from '../helpers/prototype.ts';
import { BLOOM_FILTER } from '../maps/bloom-filter.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { MapFlag } from '../maps/spec-check.ts';
import { bytesAt } from './constant-map.ts';
import { typeName } from './describe-value.ts';
import { type DynptrArgument, dynptrAt, makeDynptr, releasedDynptr } from './dynptr.ts';
import { iteratorAt, makeIterator, type PlacedIterator } from './iterator.ts';
import { checkRange, movedReason, notMemory } from './memory.ts';
import { MAX_OFFSET } from './pointer-arithmetic.ts';
import { constantOf } from './scalar.ts';
import { checkStackRange, firstOpaqueByte, readBytes, writeBytes } from './stack-access.ts';
import { exactly, read, refuse, type Step } from './step.ts';
import {
  type Dynptr,
  type MemoryRegion,
  markPrecise,
  type Pointer,
  type Region,
  type RegisterValue,
  type ScalarValue,
} from './value.ts';

/** What the arguments of one call tell together. */
export interface Call {
  readonly step: Step;
  readonly prototype: Prototype;
  /** The map that was given, for keys and values. */
  map: MapSpec | undefined;
  /** Which argument holds the key. */
  key: Pointer | undefined;
  /** The most bytes that a size argument allows. */
  maxSize: bigint;
  /** How much is to be reserved. */
  allocation: number;
  /** The reference that is given back. */
  released: number;
  /** What memory is taken from. */
  dynptr: Dynptr | undefined;
  /** What is asked for its next. */
  drawn: PlacedIterator | undefined;
  callee: number;
  /** What the arguments that follow are to be made into. */
  format: string;
}

/** An argument: its register, and what it holds. */
export interface Argument {
  readonly register: number;
  readonly value: RegisterValue;
}

type Kind = Region['kind'] | 'scalar';

interface Row {
  /** What it may be; undefined: anything. */
  readonly kinds?: readonly Kind[];
  /** It may be the number 0 instead. */
  readonly orNull?: true;
  /** The kernel's names of those. */
  readonly expected?: string;
  check?(call: Call, argument: Argument): void;
}

const MEMORY: readonly Kind[] = ['stack', 'mapKey', 'mapValue', 'memory'];
/** All that the kernel takes, in its words. */
const MEMORY_NAMES = 'fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_';

const DYNPTR = { kinds: ['stack', 'dynptr'], expected: 'fp, dynptr_ptr' } as const;

const ROWS: Readonly<Record<ArgType, Row>> = {
  scalar: {},
  any: {},
  number: {
    check({ step }, { register, value }) {
      if (value.kind !== 'scalar') throw bad(step, `R${register} is not a scalar`);
    },
  },
  optional: {},
  context: { kinds: ['context'], expected: 'ctx', check: checkUnmoved },
  map: {
    kinds: ['map'],
    expected: 'map_ptr',
    check(call, { value }) {
      call.map = pointerTo(value, 'map').map;
    },
  },
  mapKey: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    check(call, argument) {
      call.key = argument.value as Pointer;
      checkMemory(call.step, argument, mapOf(call).keySize, 'read');
    },
  },
  mapValue: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    check: (call, argument) => checkMemory(call.step, argument, mapOf(call).valueSize, 'read'),
  },
  mapValueOrNull: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    orNull: true,
    check: (call, argument) => checkMemory(call.step, argument, mapOf(call).valueSize, 'read'),
  },
  mapValueWrite: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    check(call, argument) {
      const { type, valueSize } = mapOf(call);
      // What a bloom filter is asked for is read.
      checkMemory(call.step, argument, valueSize, type === BLOOM_FILTER ? 'read' : 'write');
    },
  },
  memRead: { kinds: MEMORY, expected: MEMORY_NAMES },
  memReadOrNull: { kinds: MEMORY, expected: MEMORY_NAMES, orNull: true },
  memWrite: { kinds: MEMORY, expected: MEMORY_NAMES },
  memSize: { kinds: ['scalar'], expected: 'scalar', check: (call, size) => checkSize(call, size, 'no empty range') },
  memSizeOrZero: {
    kinds: ['scalar'],
    expected: 'scalar',
    check: (call, size) => checkSize(call, size, 'may be empty'),
  },
  wordWrite: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    check(call, argument) {
      checkMemory(call.step, argument, WORD_SIZE, 'write', 'aligned');
    },
  },
  constantString: {
    kinds: ['mapValue'],
    expected: 'map_value',
    check: (call, string) => void checkString(call, string),
  },
  format: {
    kinds: ['mapValue'],
    expected: 'map_value',
    check(call, string) {
      call.format = checkString(call, string);
    },
  },
  formatted: {
    kinds: ['scalar'],
    expected: 'scalar',
    check(call, size) {
      checkSize(call, size, 'may be empty');
      checkFormat(call, size);
    },
  },
  allocationSize: {
    kinds: ['scalar'],
    expected: 'scalar',
    check(call, { register, value }) {
      const size = exactly(value);
      if (size === undefined) throw bad(call.step, `R${register} is not a known constant'`);
      // The kernel keeps 32 bits of it.
      call.allocation = Number(BigInt.asUintN(32, size));
    },
  },
  ringbufMemory: {
    kinds: ['memory'],
    expected: 'ringbuf_mem',
    check(call, { register, value }) {
      const { origin, reference } = pointerTo(value, 'memory') as MemoryRegion;
      if (origin !== 'ringbuf') throw wrongType(call.step, { register, value }, 'ringbuf_mem');
      const { offset, variable } = value as Pointer;
      if (offset !== 0 || constantOf(variable) !== 0n) {
        throw bad(call.step, `R${register} must have zero offset when passed to release func or trusted arg to kfunc`);
      }
      if (reference === 0) throw bad(call.step, `R${register} must be referenced when passed to release function`);
      call.released = reference;
    },
  },
  function: {
    kinds: ['function'],
    expected: 'func',
    check(call, argument) {
      checkUnmoved(call, argument);
      call.callee = pointerTo(argument.value, 'function').subprogram;
    },
  },
  callbackContext: { kinds: ['stack'], expected: 'fp', orNull: true },
  task: { kinds: ['task'], expected: 'ptr_', check: checkUnmoved },
  taskOrNull: { kinds: ['task'], expected: 'ptr_', orNull: true, check: checkUnmoved },
  newLocalDynptr: { ...DYNPTR, check: ({ step }, at) => makeDynptr(dynptrArgument(step, at), 'local') },
  newRingbufDynptr: { ...DYNPTR, check: ({ step }, at) => makeDynptr(dynptrArgument(step, at), 'ringbuf') },
  dynptr: {
    ...DYNPTR,
    check(call, at) {
      call.dynptr = dynptrAt(dynptrArgument(call.step, at));
    },
  },
  ringbufDynptr: {
    ...DYNPTR,
    check(call, at) {
      call.released = releasedDynptr(dynptrArgument(call.step, at));
    },
  },
  dynptrMemory: {
    kinds: MEMORY,
    expected: MEMORY_NAMES,
    check({ step, prototype }, { value }) {
      if (value.kind === 'pointer' && value.region.kind === 'mapValue') return;
      throw bad(step, `Unsupported reg type ${typeName(value)} for ${prototype.name} data`);
    },
  },
  newIterator: { check: ({ step }, at) => makeIterator(step, at) },
  drawnIterator: {
    check(call, at) {
      call.drawn = iteratorAt(call.step, at);
    },
  },
  destroyedIterator: {
    check(call, at) {
      call.released = iteratorAt(call.step, at).iterator.reference;
    },
  },
};

const WORD_SIZE = 8;

/** Checks the arguments of a call. @throws {VerifierError} */
export function checkArguments(step: Step, prototype: Prototype): Call {
  const call: Call = {
    step,
    prototype,
    map: undefined,
    key: undefined,
    maxSize: 0n,
    allocation: 0,
    released: 0,
    dynptr: undefined,
    drawn: undefined,
    format: '',
    callee: -1,
  };
  for (const [place, type] of prototype.args.entries()) {
    const register = place + 1;
    const held = step.frame.registers[register];
    if (type === 'optional' && held === undefined) continue;
    const argument = { register, value: read(step, register) };
    const row = ROWS[type];
    if (row.orNull && isNull(argument.value)) continue;
    if (row.kinds !== undefined && !isOneOf(row, argument.value)) throw wrongType(step, argument, row.expected!);
    row.check?.(call, argument);
  }
  return call;
}

/**
 * Checks that memory may be read or written, and notes that it was.
 *
 * @throws {VerifierError} VERIFIER_BAD_ACCESS, VERIFIER_STACK_ACCESS
 */
export function checkMemory(
  step: Step,
  { register, value }: Argument,
  size: number,
  mode: 'read' | 'write',
  alignment: 'aligned' | 'any' = 'any',
): void {
  if (value.kind === 'scalar' || value.orNull) throw notMemory({ step, register, pointer: value });
  const access = { step, register, pointer: value, offset: 0, size, mode };
  if (value.region.kind !== 'stack') {
    checkRange(access, 'may be empty');
    return;
  }
  const { frame, first, last } = checkStackRange(access, alignment);
  // An iterator may be written over: it is missed where it would have to be destroyed.
  const part = firstOpaqueByte(frame, first, last + size, mode === 'write' ? 'dynptr' : undefined);
  if (part !== undefined) {
    const reason =
      mode === 'read'
        ? `invalid read from stack R${register} off ${first}+${part - first} size ${size}`
        : `potential write to dynptr at off=${part} disallowed`;
    throw refuse(step, 'VERIFIER_STACK_ACCESS', reason);
  }
  if (mode === 'read') readBytes(frame, first, last + size);
  else writeBytes(frame, first, last + size);
}

function checkSize(call: Call, { register, value }: Argument, zero: 'no empty range' | 'may be empty'): void {
  const { step, prototype } = call;
  const size = value as ScalarValue;
  const { smin, umin, umax } = size.scalar;
  call.maxSize = umax;
  if (smin < 0n) throw bad(step, `R${register} min value is negative, either use unsigned or 'var &= const'`);
  if (umin === 0n && zero === 'no empty range') {
    throw bad(step, `R${register} invalid zero-sized read: u64=[${umin},${umax}]`);
  }
  if (umax >= BigInt(MAX_OFFSET)) {
    throw bad(step, `R${register} unbounded memory access, use 'var &= const' or 'if (var < const)'`);
  }
  markPrecise(size);
  const memory = { register: register - 1, value: read(step, register - 1) };
  if (isNull(memory.value) && umax === 0n) return;
  const type = prototype.args[register - 2];
  if (memory.value.kind === 'scalar') throw wrongType(step, memory, 'fp');
  checkMemory(step, memory, Number(umax), type === 'memWrite' || type === 'dynptrMemory' ? 'write' : 'read');
}

/** @returns the string */
function checkString({ step }: Call, { register, value }: Argument): string {
  const { region, offset, variable } = value as Pointer;
  const { map } = region as Extract<Region, { kind: 'mapValue' }>;
  const at = constantOf(variable);
  if ((map.flags & MapFlag.RDONLY_PROG) === 0) throw bad(step, `R${register} does not point to a readonly map'`);
  if (at === undefined) throw bad(step, `R${register} is not a constant address'`);
  checkMemory(step, { register, value }, 1, 'read');
  let text = '';
  for (let place = offset + Number(at); place < map.valueSize; place++) {
    const byte = bytesAt(map, place, 1);
    if (byte === 0n) return text;
    if (byte === undefined) break;
    text += String.fromCharCode(Number(byte));
  }
  throw bad(step, 'string is not zero-terminated');
}

/** A format that the helper would refuse, or with which so many arguments do not go. */
function checkFormat({ step, format }: Call, { value }: Argument): void {
  const size = exactly(value);
  const conversions = parseFormat(format)?.filter(({ is }) => is !== 'text').length;
  if (size === undefined || conversions === undefined || size % 8n !== 0n || conversions > size / 8n) {
    throw bad(step, 'Invalid format string');
  }
}

function checkUnmoved({ step }: Call, { register, value }: Argument): void {
  const { offset, variable } = value as Pointer;
  if (offset === 0 && constantOf(variable) === 0n) return;
  throw bad(step, movedReason(value as Pointer, register));
}

function mapOf({ step, map }: Call): MapSpec {
  if (map === undefined) throw bad(step, 'invalid map_ptr to access map->key');
  return map;
}

function isOneOf({ kinds }: Row, value: RegisterValue): boolean {
  if (value.kind === 'scalar') return kinds!.includes('scalar');
  return !value.orNull && kinds!.includes(value.region.kind);
}

function isNull(value: RegisterValue): boolean {
  return value.kind === 'scalar' && constantOf(value.scalar) === 0n;
}

function pointerTo<K extends Region['kind']>(value: RegisterValue, kind: K): Extract<Region, { kind: K }> {
  if (value.kind === 'scalar' || value.region.kind !== kind) throw new TypeError(`not a pointer to ${kind}`);
  return value.region as Extract<Region, { kind: K }>;
}

/** Where a dynptr is, or is to be. */
function dynptrArgument(step: Step, { register, value }: Argument): DynptrArgument {
  return { step, register, pointer: value as Pointer };
}

/** The error for an argument of another type. */
export function wrongType(step: Step, { register, value }: Argument, expected: string): Error {
  return bad(step, `R${register} type=${typeName(value)} expected=${expected}`);
}

function bad(step: Step, reason: string): Error {
  return refuse(step, 'VERIFIER_BAD_ARGUMENT', reason);
}
