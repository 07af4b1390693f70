/** Operations on maps as data, for the contract suites: what is done, with which bytes, and what a map then holds. */
import { toHex } from '../../src/bytes/hex.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, type MapType } from '../../src/maps/map-type.ts';
import { mapMemory } from '../../src/maps/memory.ts';

/** The operations that programs have; `entries` is the host's alone. */
export type ProgramMap = Omit<HostMap, 'entries'>;

/**
 * A map without keys as one whose operations take any: lookups show the next value, deletions take it, and tell its
 * first byte by a number that is no errno.
 */
export function keylessAsMap({ lookup, update, pop }: Pick<HostMap, 'lookup' | 'update' | 'pop'>): ProgramMap {
  const none = new Uint8Array(0);
  return {
    lookup: () => lookup(none),
    update: (_, value, flags) => update(none, value, flags),
    delete() {
      const value = pop!();
      return value === undefined ? -Errno.ENOENT : value[0]!;
    },
  };
}

/** The same semantics in the simplest way. */
export type ModelMap = ProgramMap & Pick<HostMap, 'entries'>;

/** What tests vary. */
export type Shape = Pick<MapSpec, 'keySize' | 'valueSize' | 'maxEntries'>;

/** One operation; key and value are numbers from which bytes are made. */
export interface Operation {
  readonly name: 'lookup' | 'update' | 'delete';
  readonly key: number;
  readonly value: number;
  readonly flags: bigint;
}

/** An operation, and which side of the map does it. */
export interface SidedOperation extends Operation {
  readonly side: 'host' | 'emitted';
}

/** A spec with the numbers that matter to a test. */
export function mapSpec(type: MapType, numbers: Partial<MapSpec>): MapSpec {
  const rest = { flags: 0, keyTypeId: 0, valueTypeId: 0 };
  return { name: 'm', type: type.id, keySize: 4, valueSize: 8, maxEntries: 4, ...rest, ...numbers };
}

/** The host's side, as tests use it. */
export function hostMap(type: MapType, memory: MapMemory, spec: MapSpec): ModelMap {
  const host = type.host(memory, spec);
  return type.keyless === undefined ? host : { ...keylessAsMap(host), entries: () => numbered(host) };
}

/** Values with their places for keys. */
function numbered(host: HostMap): (readonly [Uint8Array, Uint8Array])[] {
  return Array.from(host.entries(), ([, value], place) => [Uint8Array.of(place), value] as const);
}

/** An empty map. */
export function freshMap(type: MapType, spec: MapSpec): MapMemory {
  type.check(spec);
  const memory = mapMemory(new Uint8Array(type.size(spec)));
  type.init(memory, spec);
  return memory;
}

/** Does it, and tells what came back: an errno, a value in hex, or undefined. */
export function apply(map: ProgramMap, spec: MapSpec, operation: Operation): string | number | undefined {
  const key = keyBytes(spec, operation.key);
  if (operation.name === 'update') return map.update(key, valueBytes(spec, operation.value), operation.flags);
  if (operation.name === 'delete') return map.delete(key);
  const found = map.lookup(key);
  return found && toHex(found);
}

/** Everything in a map, in an order of its own. */
export function listing(map: Pick<HostMap, 'entries'>): string[] {
  return [...map.entries()].map(([key, value]) => `${toHex(key)} ${toHex(value)}`).sort();
}

/** Keys that differ in their first and last bytes. */
export function keyBytes({ keySize }: MapSpec, key: number): Uint8Array {
  const bytes = littleEndian(key, keySize);
  if (keySize > 4) bytes[keySize - 1] = key;
  return bytes;
}

/** Values that differ in every byte. */
export function valueBytes({ valueSize }: MapSpec, value: number): Uint8Array {
  return Uint8Array.from({ length: valueSize }, (_, index) => value + index);
}

/** A number below 2^32 in `size` bytes. */
export function littleEndian(number: number, size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, index) => (index < 4 ? (number >>> (8 * index)) & 0xff : 0));
}
