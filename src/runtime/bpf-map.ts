/** A live map: bytes of our own until the object is loaded into a process, then memory shared with that process. */
import type { Btf } from '../btf/btf.ts';
import { decodeValue, type JsonValue } from '../btf/decode-value.ts';
import type { HostMap, MapSpec, MapType } from '../maps/map-type.ts';
import { mapMemory } from '../maps/memory.ts';
import { mapTypeOf } from '../maps/table.ts';

/** A key or value: its bytes, or a number that fills all of them, little-endian. */
export type MapBytes = Uint8Array | number | bigint;

export interface MapEntry {
  /** Typed by BTF where the object has it, lower-case hexadecimal otherwise. */
  readonly key: JsonValue;
  readonly value: JsonValue;
}

export class BpfMap {
  readonly spec: MapSpec;
  readonly #type: MapType;
  readonly #btf: Btf | undefined;
  #bytes: Uint8Array;
  #host: HostMap;

  /** @throws {MapError} MAP_UNKNOWN_TYPE, MAP_BAD_SPEC, MAP_TOO_LARGE */
  constructor(spec: MapSpec, btf: Btf | undefined) {
    this.spec = spec;
    this.#btf = btf;
    this.#type = mapTypeOf(spec);
    this.#type.check(spec);
    this.#bytes = new Uint8Array(this.#type.size(spec));
    this.#type.init(mapMemory(this.#bytes), spec);
    this.#host = this.#type.host(mapMemory(this.#bytes), spec);
  }

  /** A map that holds what `bytes` do. @internal */
  static copyOf(spec: MapSpec, btf: Btf | undefined, bytes: Uint8Array): BpfMap {
    const map = new BpfMap(spec, btf);
    map.#bytes = bytes;
    map.#host = map.#type.host(mapMemory(bytes), spec);
    return map;
  }

  get name(): string {
    return this.spec.name;
  }

  /** The kernel's name of its type: 'hash'. */
  get typeName(): string {
    return this.#type.name;
  }

  /** True for `.rodata`, `.data`, `.bss`: its only value holds an object's variables. */
  get isDataSection(): boolean {
    return this.spec.name.startsWith('.');
  }

  /** A copy of the value, undefined if the key is absent. @throws {MapError} MAP_BAD_KEY */
  lookup(key: MapBytes): Uint8Array | undefined {
    return this.#host.lookup(bytesOf(key, this.spec.keySize));
  }

  /** @returns 0 or a negative errno, as bpf(2) gives. @throws {MapError} MAP_BAD_KEY, MAP_BAD_VALUE */
  update(key: MapBytes, value: MapBytes, flags = 0n): number {
    return this.#host.update(bytesOf(key, this.spec.keySize), bytesOf(value, this.spec.valueSize), flags);
  }

  /** @returns 0 or a negative errno, as bpf(2) gives. @throws {MapError} MAP_BAD_KEY */
  delete(key: MapBytes): number {
    return this.#host.delete(bytesOf(key, this.spec.keySize));
  }

  /** Every entry, typed. Entries that come or go meanwhile may or may not be among them. */
  entries(): MapEntry[] {
    const { keyTypeId, valueTypeId } = this.spec;
    return Array.from(this.rawEntries(), ([key, value]) => ({
      // The one key of a data section has no type, and needs none.
      key: this.isDataSection ? 0 : decodeValue(this.#btf, keyTypeId, key),
      value: decodeValue(this.#btf, valueTypeId, value),
    }));
  }

  /** Every entry, as bytes. */
  rawEntries(): Iterable<readonly [key: Uint8Array, value: Uint8Array]> {
    return this.#host.entries();
  }

  /** Goes on in `bytes`, with what it holds now. @internal */
  moveTo(bytes: Uint8Array): void {
    bytes.set(this.#bytes);
    this.#bytes = bytes;
    this.#host = this.#type.host(mapMemory(bytes), this.spec);
  }

  /** Goes on in a copy of its own, with what it holds now: the shared memory is about to go. @internal */
  moveOut(): void {
    this.moveTo(new Uint8Array(this.#bytes.length));
  }
}

function bytesOf(data: MapBytes, size: number): Uint8Array {
  if (typeof data === 'object') return data;
  const bytes = new Uint8Array(size);
  let rest = BigInt.asUintN(size * 8, BigInt(data));
  for (let at = 0; rest !== 0n; at++, rest >>= 8n) bytes[at] = Number(rest & 0xffn);
  return bytes;
}
