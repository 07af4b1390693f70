/** Every map type there is: a new one is a file and a row here. */
import { array } from './array.ts';
import { bloomFilter } from './bloom-filter.ts';
import { cgroupArray } from './cgroup-array.ts';
import { MapError } from './errors.ts';
import { arrayOfMaps, progArray } from './fd-array.ts';
import { hash } from './hash.ts';
import { hashOfMaps } from './hash-of-maps.ts';
import { lpmTrie } from './lpm-trie.ts';
import { lruHash } from './lru-hash.ts';
import type { MapSpec, MapType } from './map-type.ts';
import { percpuArray } from './percpu-array.ts';
import { lruPercpuHash, percpuHash } from './percpu-hash.ts';
import { queue, stack } from './queue.ts';
import { perfEventArray, ringbuf } from './ringbuf.ts';
import { stackTrace } from './stack-trace.ts';
import { taskStorage } from './task-storage.ts';
import { userRingbuf } from './user-ringbuf.ts';

const ROWS: readonly MapType[] = [
  hash,
  array,
  percpuArray,
  percpuHash,
  lruHash,
  lruPercpuHash,
  queue,
  stack,
  stackTrace,
  ringbuf,
  perfEventArray,
  cgroupArray,
  lpmTrie,
  bloomFilter,
  taskStorage,
  progArray,
  arrayOfMaps,
  hashOfMaps,
  userRingbuf,
];

/** By the kernel's number. */
export const MAP_TYPES: ReadonlyMap<number, MapType> = new Map(ROWS.map((type) => [type.id, type]));

/** The type of a map definition. @throws {MapError} MAP_UNKNOWN_TYPE */
export function mapTypeOf({ name, type }: MapSpec): MapType {
  const found = MAP_TYPES.get(type);
  if (found !== undefined) return found;
  const known = [...MAP_TYPES.values()].map(({ name, id }) => `${name} (${id})`).join(', ');
  throw new MapError('MAP_UNKNOWN_TYPE', `cannot create map ${name}: its type is ${type}, there are ${known}`);
}
