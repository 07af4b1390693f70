/**
 * What every map type must provide. A map is bytes in shared memory: no pointers, only offsets, so that every process
 * may map it anywhere. The host side works on a view of those bytes; the emitted side is IR over the same offsets,
 * specialised to one map: sizes and addresses are constants.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import type { EventRing } from './event-ring.ts';
import type { UserRingProducer } from './user-ring.ts';

/** The numbers of a map definition: `struct { __uint(type, ...); __type(key, ...); ... } SEC(".maps")`. */
export interface MapSpec {
  readonly name: string;
  /** The kernel's `enum bpf_map_type`. */
  readonly type: number;
  /** In bytes. */
  readonly keySize: number;
  readonly valueSize: number;
  /** In entries. */
  readonly maxEntries: number;
  /** BPF_F_* of map creation. */
  readonly flags: number;
  /** BTF type ids of key and value in the object's BTF, 0 where unknown. */
  readonly keyTypeId: number;
  readonly valueTypeId: number;
  /** Initial bytes of the only value of a data section map (`.rodata`, `.data`), undefined elsewhere. */
  readonly initialValue?: Uint8Array;
  /** What each slot of a map of maps holds, as the object says; undefined elsewhere. */
  readonly innerMap?: MapSpec;
  /** `map_extra`: what it means is the type's; 0 where it is not given. */
  readonly extra?: bigint;
  /** It asks to outlive its object, under its name: LIBBPF_PIN_BY_NAME. */
  readonly pinned?: true;
  /** What the object puts into places of a map of programs or maps; undefined where it says nothing. */
  readonly initialSlots?: readonly InitialSlot[];
}

/** What a place holds from the beginning. */
export interface InitialSlot {
  /** The key, as a number. */
  readonly index: number;
  /** The name of what is there, in the object. */
  readonly name: string;
}

/** Flags of bpf_map_update_elem, as in <linux/bpf.h>. */
export const UpdateFlag = { ANY: 0, NOEXIST: 1, EXIST: 2, LOCK: 4 } as const;

/** Kernel error numbers that map operations return, negated: Linux include/uapi/asm-generic/errno-base.h. */
export const Errno = {
  EPERM: 1,
  ENOENT: 2,
  ESRCH: 3,
  E2BIG: 7,
  EBADF: 9,
  EAGAIN: 11,
  ENOMEM: 12,
  EFAULT: 14,
  EBUSY: 16,
  EEXIST: 17,
  EINVAL: 22,
  ENOSPC: 28,
  ERANGE: 34,
  EOPNOTSUPP: 95,
} as const;

/** One map's memory as the host sees it. The target shares it and may write anything there at any time. */
export interface MapMemory {
  /** Exactly `MapType.size(spec)` bytes, 64-byte aligned. Not a copy. */
  readonly bytes: Uint8Array;
  /** The same bytes, for Atomics. */
  readonly words: BigInt64Array;
  readonly halves: Int32Array;
}

/** The host's operations on one map; results are 0 or a negative errno, as the bpf(2) commands give. */
export interface HostMap {
  /**
   * A copy of the value, or undefined if the key is absent.
   *
   * @param slot of a map that has several: 0 if not given
   * @throws {MapError} MAP_BAD_KEY if its size is wrong
   */
  lookup(key: Uint8Array, slot?: number): Uint8Array | undefined;
  update(key: Uint8Array, value: Uint8Array, flags: bigint, slot?: number): number;
  delete(key: Uint8Array): number;
  /** Of a map without keys, takes the next value out: BPF_MAP_LOOKUP_AND_DELETE_ELEM. undefined if there is none. */
  pop?(): Uint8Array | undefined;
  /** Of a map whose lookups find entries with other keys: the key of what is found. */
  matching?(key: Uint8Array): Uint8Array | undefined;
  /** Of a set of values, whether it may hold this one: BPF_MAP_LOOKUP_ELEM of a bloom filter. */
  has?(value: Uint8Array): boolean;
  /** Of values that belong to threads. */
  readonly owners?: ThreadOwners;
  /** Of a map that is no table but a ring of records. */
  readonly ring?: EventRing;
  /** Of a ring that programs drain. */
  readonly samples?: UserRingProducer;
  /**
   * Every entry once, copied, with what slot 0 holds; entries that come or go meanwhile may or may not be seen. Bounded by maxEntries whatever
   * the target wrote.
   */
  entries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]>;
}

/** The threads that values of a map belong to: whoever knows that one has ended has its value forgotten. */
export interface ThreadOwners {
  all(): Iterable<ThreadOwner>;
  forget(owner: ThreadOwner): void;
}

/** A thread by its id, and the number of the pid namespace that counts so. */
export interface ThreadOwner {
  readonly thread: number;
  readonly namespace: number;
}

/** What emitted map code may ask of its surroundings. */
export interface MapEmitContext {
  /** The address of the map's first byte in the target: a multiple of 64. */
  readonly address: bigint;
  /**
   * An out-of-line function, made once per program: the first call with a name builds it, later ones get the same. Use
   * it for what is too large to repeat at every call.
   */
  shared(name: string, paramCount: number, body: (b: Builder, params: Value[]) => void): IrFunction;
  /** The number of the slot that this run has to itself, for maps that have several. Not within `shared`. */
  slot(b: Builder): Value;
}

/** How values go into a map without keys, and are asked for: bpf_map_push_elem and its like. */
export interface KeylessCode {
  /** `value` is an address; the result is 0 or a negative errno (64-bit). */
  emitPush(b: Builder, spec: MapSpec, context: MapEmitContext, value: Value, flags: Value): Value;
  /** Takes the next value out, to the address `value`. */
  emitPop(b: Builder, spec: MapSpec, context: MapEmitContext, value: Value): Value;
  emitPeek(b: Builder, spec: MapSpec, context: MapEmitContext, value: Value): Value;
}

/** How programs go through a map: bpf_for_each_map_elem. */
export interface EachCode {
  /**
   * Writes a loop over all elements; `visit` gets the addresses of key and value and says by a number that is not zero that
   * there be no more. It may change and delete the element, and others. The result is how many were visited.
   */
  emitEach(b: Builder, spec: MapSpec, context: MapEmitContext, visit: (key: Value, value: Value) => Value): Value;
}

/** How values are kept by thread: bpf_task_storage_get and its like. `owner` is thread id | number of its pid namespace << 32. */
export interface ThreadValueCode {
  /** The address of the thread's value, 0 if there is none. One is made if `flags` say so, from what is at `value` if that is not 0. */
  emitGet(b: Builder, spec: MapSpec, context: MapEmitContext, owner: Value, value: Value, flags: Value): Value;
  /** The result is 0 or a negative errno (64-bit). */
  emitForget(b: Builder, spec: MapSpec, context: MapEmitContext, owner: Value): Value;
}

/** How traces of the stack go into a map. */
export interface TraceCode {
  /** How many addresses a trace has at most. */
  depth(spec: MapSpec): number;
  /** Byte offset of the first address in an element. */
  readonly room: number;
  /** Takes room for a trace: the address of an element, 0 if there is none. */
  emitTake(b: Builder, spec: MapSpec, context: MapEmitContext): Value;
  /** Gives back what emitTake gave. */
  emitGive(b: Builder, spec: MapSpec, context: MapEmitContext, element: Value): void;
  /** Keeps the trace of `count` addresses in an element; the result is its number or a negative errno (64-bit). */
  emitKeep(b: Builder, spec: MapSpec, context: MapEmitContext, element: Value, count: Value, flags: Value): Value;
}

export interface MapType {
  /** The kernel's `enum bpf_map_type`. */
  readonly id: number;
  /** The kernel's name, as bpftool prints it: 'array', 'hash'. */
  readonly name: string;
  /** Of a per-CPU type, how many values there are for each key; see slots.ts. */
  readonly slots?: number;
  /** How many slots there are up to the last that holds anything; unless given, slots lie one behind the other. */
  usedSlots?(memory: MapMemory, spec: MapSpec): number;
  /** Sizes of a map whose definition leaves them to whoever loads it: those that change only how much it can tell. */
  readonly usual?: Partial<Pick<MapSpec, 'valueSize' | 'maxEntries'>>;
  /** What the values stand for, of a type whose values are numbers of what the object has, counted from 1. */
  readonly holds?: 'programs' | 'maps';
  /** Of a type without keys, which has no elements for the other emitters. */
  readonly keyless?: KeylessCode;
  /** Of a type that programs may go through. */
  readonly each?: EachCode;
  /** Of a type whose values belong to threads. */
  readonly threadValues?: ThreadValueCode;
  /** Of a type whose values are traces of the stack, each a list of addresses that ends in zeros. */
  readonly traces?: TraceCode;
  /** @throws {MapError} MAP_BAD_SPEC if the kernel would refuse this spec, MAP_TOO_LARGE */
  check(spec: MapSpec): void;
  /** Bytes of shared memory a checked spec needs: a multiple of 64. */
  size(spec: MapSpec): number;
  /** Lays the empty map into zeroed memory. */
  init(memory: MapMemory, spec: MapSpec): void;
  host(memory: MapMemory, spec: MapSpec): HostMap;
  /** Puts right what killed threads left half done. Only while nobody else can touch the memory; entries stay. */
  recover(memory: MapMemory, spec: MapSpec): void;
  /** Emits bpf_map_lookup_elem: `key` is an address; the result is the value's address or 0. */
  emitLookup(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value;
  /** Emits bpf_map_update_elem: `key` and `value` are addresses; the result is 0 or a negative errno (64-bit). */
  emitUpdate(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value, value: Value, flags: Value): Value;
  emitDelete(b: Builder, spec: MapSpec, context: MapEmitContext, key: Value): Value;
}
