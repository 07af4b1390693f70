/** A live map: bytes of our own until the object is loaded into a process, then memory shared with that process. */
import type { Btf } from '../btf/btf.ts';
import { decodeValue, type JsonValue } from '../btf/decode-value.ts';
import { viewOf } from '../bytes/struct.ts';
import { Errno, type HostMap, type MapSpec, type MapType, type ThreadOwners } from '../maps/map-type.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { BpfProgram } from './bpf-program.ts';
import { EventSource, type RingHome } from './event-source.ts';
import { EventStream, type EventStreamOptions } from './event-stream.ts';
import { UserRingBuffer } from './user-ring-buffer.ts';

/** A key or value: its bytes, or a number that fills all of them, little-endian. */
export type MapBytes = Uint8Array | number | bigint;

/** What the numbers stand for that a map of programs or of maps has for values. */
export interface HeldThings {
  /** undefined for what is no number of ours: the target may write any. */
  nameOf(number: number): string | undefined;
  /** From 1; a negative errno for what may not be put there. @throws {RuntimeError} RUNTIME_BAD_SLOT if it could not run there */
  numberOf(thing: object): number;
}

export interface MapEntry {
  /** Typed by BTF where the object has it, lower-case hexadecimal otherwise. */
  readonly key: JsonValue;
  readonly value: JsonValue;
  /** Of a per-CPU map: what each slot holds, up to the last that was used; `value` is the sum if they are integers, else null. */
  readonly values?: readonly JsonValue[];
}

export class BpfMap {
  readonly spec: MapSpec;
  readonly #type: MapType;
  readonly #btf: Btf | undefined;
  #bytes: Uint8Array;
  #host: HostMap;
  #slotsInUse: () => number = () => 1;
  /** How many were in use where its entries come from. */
  #restoredSlots = 1;
  /** Says what lies at an address of the target. */
  #addressName: (address: bigint) => string = hexAddress;
  readonly #events: EventSource | undefined;
  readonly #samples: UserRingBuffer | undefined;
  #held: HeldThings | undefined;

  /** @throws {MapError} MAP_UNKNOWN_TYPE, MAP_BAD_SPEC, MAP_TOO_LARGE */
  constructor(spec: MapSpec, btf: Btf | undefined) {
    this.spec = spec;
    this.#btf = btf;
    this.#type = mapTypeOf(spec);
    this.#type.check(spec);
    this.#bytes = new Uint8Array(this.#type.size(spec));
    this.#type.init(mapMemory(this.#bytes), spec);
    this.#host = this.#type.host(mapMemory(this.#bytes), spec);
    this.#events = this.#host.ring && new EventSource(spec, btf, this.#host.ring);
    this.#samples = this.#host.samples && new UserRingBuffer(spec.name, this.#host.samples);
  }

  /** A map that holds what `bytes` do. @internal */
  static copyOf(spec: MapSpec, btf: Btf | undefined, bytes: Uint8Array): BpfMap {
    const map = new BpfMap(spec, btf);
    map.#bytes = bytes;
    map.#host = map.#type.host(mapMemory(bytes), spec);
    const { usedSlots } = map.#type;
    const slots = usedSlots?.(mapMemory(bytes), spec) ?? slotsWithContent(bytes, map.#type.slots ?? 1);
    map.#slotsInUse = () => slots;
    return map;
  }

  get name(): string {
    return this.spec.name;
  }

  /** The kernel's name of its type: 'hash'. */
  get typeName(): string {
    return this.#type.name;
  }

  /** What its values are that are no bytes; undefined of most maps. */
  get holds(): MapType['holds'] {
    return this.#type.holds;
  }

  /** True for `.rodata`, `.data`, `.bss`: its only value holds an object's variables. */
  get isDataSection(): boolean {
    return this.spec.name.startsWith('.');
  }

  /**
   * A copy of the value, undefined if the key is absent.
   *
   * @param slot of a per-CPU map: from 0 to less than `slots`
   * @throws {MapError} MAP_BAD_KEY
   */
  lookup(key: MapBytes, slot = 0): Uint8Array | undefined {
    return this.#host.lookup(bytesOf(key, this.spec.keySize), slot);
  }

  /** How many slots of a per-CPU map have been used; 1 for others. */
  get slots(): number {
    return this.#type.slots === undefined ? 1 : Math.max(this.#restoredSlots, this.#slotsInUse());
  }

  /**
   * Of a per-CPU map the first slot gets the value, the others zeros: so it is the sum. A map of programs or of maps takes those of its object.
   *
   * @returns 0 or a negative errno, as bpf(2) gives
   * @throws {MapError} MAP_BAD_KEY, MAP_BAD_VALUE
   * @throws {RuntimeError} RUNTIME_BAD_SLOT
   */
  update(key: MapBytes, value: MapBytes | BpfProgram | BpfMap, flags = 0n): number {
    const { keySize, valueSize } = this.spec;
    const keyBytes = bytesOf(key, keySize);
    if (this.holds !== undefined) return this.#put(keyBytes, value, flags);
    if (!isBytes(value))
      throw new TypeError(`cannot put ${value.name} into map ${this.name}: it is a ${this.typeName}`);
    const result = this.#host.update(keyBytes, bytesOf(value, valueSize), flags);
    const rest = new Uint8Array(valueSize);
    for (let slot = 1; slot < this.slots && result === 0; slot++) this.#host.update(keyBytes, rest, 0n, slot);
    return result;
  }

  /** What is no thing is what a number is to the kernel that is no descriptor. */
  #put(key: Uint8Array, thing: MapBytes | BpfProgram | BpfMap, flags: bigint): number {
    const number = isBytes(thing) || this.#held === undefined ? -Errno.EBADF : this.#held.numberOf(thing);
    return number < 0 ? number : this.#host.update(key, bytesOf(number, this.spec.valueSize), flags);
  }

  /** Of a map of maps: takes a map out of each place where it is. @internal */
  takeOut(map: BpfMap): void {
    const number = this.#held?.numberOf(map);
    const places = [...this.rawEntries()].filter(([, value]) => viewOf(value).getUint32(0, true) === number);
    for (const [key] of places) this.#host.delete(key);
  }

  /** Takes all out that is there; of a table of fixed size all values are zeros then. Only while no program has it. @internal */
  clear(): void {
    const { pop, has } = this.#host;
    do this.#events?.consume(() => {});
    while (this.#events?.passOver());
    if (has !== undefined) {
      this.#bytes.fill(0);
      this.#type.init(mapMemory(this.#bytes), this.spec);
    }
    for (let left = this.spec.maxEntries; left > 0 && pop?.() !== undefined; left--);
    const zeros = new Uint8Array(this.spec.valueSize);
    for (const [key] of pop === undefined ? [...this.rawEntries()] : []) {
      if (this.#host.delete(key) === 0) continue;
      for (let slot = 0; slot < (this.#type.slots ?? 1); slot++) this.#host.update(key, zeros, 0n, slot);
    }
  }

  /** @returns 0 or a negative errno, as bpf(2) gives. @throws {MapError} MAP_BAD_KEY */
  delete(key: MapBytes): number {
    return this.#host.delete(bytesOf(key, this.spec.keySize));
  }

  /**
   * Takes the next value out of a queue or stack; `lookup` shows it, `update` adds one, both with a key of no bytes.
   *
   * @returns undefined if there is none
   * @throws TypeError if this map is none
   */
  pop(): Uint8Array | undefined {
    if (this.#host.pop === undefined) {
      throw new TypeError(`cannot take a value of map ${this.name}: it is a ${this.typeName}, wanted a queue or stack`);
    }
    return this.#host.pop();
  }

  /**
   * Whether a bloom filter may hold the value: false is certain. `update` adds one, with a key of no bytes.
   *
   * @throws TypeError if this map is none
   */
  has(value: MapBytes): boolean {
    if (this.#host.has === undefined) {
      throw new TypeError(`cannot ask map ${this.name} for a value: it is a ${this.typeName}, wanted a bloom_filter`);
    }
    return this.#host.has(bytesOf(value, this.spec.valueSize));
  }

  /**
   * What programs send through a ring buffer, as it comes: typed by BTF where it is known what it is, else lower-case hexadecimal.
   *
   * @throws TypeError if this map is none
   */
  ringBuffer(options: EventStreamOptions = {}): EventStream {
    return this.#stream('ringbuf', options);
  }

  /** The same of a perf event array. @throws TypeError if this map is none */
  perfBuffer(options: EventStreamOptions = {}): EventStream {
    return this.#stream('perf_event_array', options);
  }

  /** The other way: what programs drain that call bpf_user_ringbuf_drain. @throws TypeError if this map is no user ring buffer */
  userRingBuffer(): UserRingBuffer {
    if (this.#samples !== undefined) return this.#samples;
    throw new TypeError(`cannot send to map ${this.name}: it is a ${this.typeName}, wanted a user_ringbuf`);
  }

  /** Of a ring buffer or perf event array, what programs send; undefined of other maps. */
  get events(): EventStream | undefined {
    return this.#events && new EventStream(this.#events, undefined);
  }

  /** Of a map whose values belong to threads. @internal */
  get owners(): ThreadOwners | undefined {
    return this.#host.owners;
  }

  #stream(wanted: string, { signal }: EventStreamOptions): EventStream {
    if (this.#events !== undefined && this.typeName === wanted) return new EventStream(this.#events, signal);
    throw new TypeError(`cannot read events of map ${this.name}: it is a ${this.typeName}, wanted a ${wanted}`);
  }

  /** Every entry, typed. Entries that come or go meanwhile may or may not be among them. */
  entries(): MapEntry[] {
    return Array.from(this.rawEntries(), ([key, first]) => this.#entryOf(key, first));
  }

  /** The same in portions of `size` at most, each read when it is asked for: of a large map never all is held at once. */
  *batches(size: number): Generator<MapEntry[], void, undefined> {
    if (!Number.isInteger(size) || size < 1) throw new RangeError(`a batch of ${size} entries, wanted at least 1`);
    let batch: MapEntry[] = [];
    for (const [key, first] of this.rawEntries()) {
      batch.push(this.#entryOf(key, first));
      if (batch.length < size) continue;
      yield batch;
      batch = [];
    }
    if (batch.length > 0) yield batch;
  }

  #entryOf(key: Uint8Array, first: Uint8Array): MapEntry {
    const { keyTypeId, valueTypeId } = this.spec;
    // What has no type and needs none.
    if (this.#type.traces !== undefined)
      return { key: viewOf(key).getUint32(0, true), value: addressesOf(first).map(this.#addressName) };
    if (this.holds !== undefined) {
      const number = viewOf(first).getUint32(0, true);
      const isTyped = keyTypeId !== 0 || key.length !== 4;
      return {
        key: isTyped ? decodeValue(this.#btf, keyTypeId, key) : viewOf(key).getUint32(0, true),
        value: this.#held?.nameOf(number) ?? number,
      };
    }
    const entry = {
      key: this.isDataSection ? 0 : decodeValue(this.#btf, keyTypeId, key),
      value: decodeValue(this.#btf, valueTypeId, first),
    };
    if (this.#type.slots === undefined) return entry;
    const others = Array.from({ length: this.slots - 1 }, (_, slot) => this.#host.lookup(key, slot + 1));
    const values = [first, ...others.filter((value) => value !== undefined)].map((value) =>
      decodeValue(this.#btf, valueTypeId, value),
    );
    return { ...entry, value: sumOf(values, this.spec.valueSize), values };
  }

  /** Addresses of code that it holds, each once: those of its traces, if it has any. @internal */
  heldAddresses(): ReadonlySet<bigint> {
    const values = this.#type.traces === undefined ? [] : Array.from(this.rawEntries(), ([, value]) => value);
    return new Set(values.flatMap(addressesOf));
  }

  /** Puts an entry back as it was, slot by slot. @returns 0 or a negative errno @internal */
  restore(key: Uint8Array, values: readonly Uint8Array[]): number {
    this.#restoredSlots = Math.max(this.#restoredSlots, values.length);
    return values.reduce((result, value, slot) => result || this.#host.update(key, value, 0n, slot), 0);
  }

  /** Every entry, as bytes. */
  rawEntries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    return this.#host.entries();
  }

  /**
   * Goes on in `bytes`, which are all zero, with what it holds now.
   *
   * @param slotsInUse tells how many slots of per-CPU maps were given out there
   * @param home of the records of a ring; nobody adds to it any more if not given
   * @internal
   */
  moveTo(bytes: Uint8Array, slotsInUse = this.#slotsInUse, home: RingHome = LEFT): void {
    copyWhatIsThere(this.#bytes, bytes);
    this.#slotsInUse = slotsInUse;
    this.#bytes = bytes;
    this.#host = this.#type.host(mapMemory(bytes), this.spec);
    if (this.#host.ring !== undefined) this.#events?.moveTo(this.#host.ring, home);
    if (this.#host.samples !== undefined) this.#samples?.moveTo(this.#host.samples, home);
  }

  /** Has the numbers that are its values stand for things. @internal */
  hold(things: HeldThings): void {
    this.#held = things;
  }

  /** Has the addresses that are its values, if they are, named from now on. @internal */
  nameAddresses(name: (address: bigint) => string): void {
    this.#addressName = name;
  }

  /** Goes on in a copy of its own, with what it holds now: the shared memory is about to go. @internal */
  moveOut(): void {
    const slots = this.slots;
    this.moveTo(new Uint8Array(this.#bytes.length), () => slots);
  }
}

/** The addresses of a trace, up to the zeros behind them, innermost first. */
function addressesOf(trace: Uint8Array): bigint[] {
  const addresses = [...new BigUint64Array(Uint8Array.from(trace).buffer)];
  return addresses.slice(0, addresses.findLastIndex((address) => address !== 0n) + 1);
}

function hexAddress(address: bigint): string {
  return `0x${address.toString(16)}`;
}

const PAGE = 4096;
const LEFT: RingHome = { isOver: () => true, hasEnded: () => true };

/** Copies pages that are not all zero: most of a large map was never touched, and stays so. */
function copyWhatIsThere(from: Uint8Array, to: Uint8Array): void {
  const zeros = new Uint8Array(PAGE);
  for (let at = 0; at < from.length; at += PAGE) {
    const page = from.subarray(at, at + PAGE);
    if (Buffer.compare(page, zeros.subarray(0, page.length)) !== 0) to.set(page, at);
  }
}

/** How many slots there are up to the last that is not all zero. */
function slotsWithContent(bytes: Uint8Array, slots: number): number {
  const size = bytes.length / slots;
  const zeros = new Uint8Array(size);
  let count = slots;
  while (count > 0 && Buffer.compare(bytes.subarray((count - 1) * size, count * size), zeros) === 0) count--;
  return count;
}

/** The sum of integers of `size` bytes, as the map would hold it; null if they are no integers. */
function sumOf(values: readonly JsonValue[], size: number): JsonValue {
  if (!values.every((value) => typeof value === 'number' || (typeof value === 'string' && /^-?\d+$/.test(value)))) {
    return null;
  }
  const signed = values.some((value) => Number(value) < 0);
  const sum = values.reduce((total, value) => total + BigInt(value as number | string), 0n);
  const wrapped = signed ? BigInt.asIntN(size * 8, sum) : BigInt.asUintN(size * 8, sum);
  return Number.isSafeInteger(Number(wrapped)) ? Number(wrapped) : wrapped.toString();
}

function isBytes(value: MapBytes | BpfProgram | BpfMap): value is MapBytes {
  return typeof value !== 'object' || value instanceof Uint8Array;
}

function bytesOf(data: MapBytes, size: number): Uint8Array {
  if (typeof data === 'object') return data;
  const bytes = new Uint8Array(size);
  let rest = BigInt.asUintN(size * 8, BigInt(data));
  for (let at = 0; rest !== 0n; at++, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}
