/**
 * BPF_MAP_TYPE_PROG_ARRAY, the programs that bpf_tail_call goes on in, and BPF_MAP_TYPE_ARRAY_OF_MAPS. A place holds the number of
 * a program or map of the object, counted from 1, and 0 while it is empty; the kernel has a pointer there, and is given a descriptor. Results as in Linux
 * kernel/bpf/arraymap.c, bpf_fd_array_map_update_elem and its neighbours. Whoever reads a number here asks whether there is
 * something with that number: the target may write any.
 *
 *     | number 0 | number 1 | ...
 *     0          4
 */
import { alignUp } from '../bytes/align.ts';
import { viewOf } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, type MapType, UpdateFlag } from './map-type.ts';
import { requireKey, requireValue } from './memory.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';

/** Bytes of a number. */
const NUMBER_SIZE = 4;

export const progArray: MapType = {
  id: 3,
  name: 'prog_array',
  holds: 'programs',
  check: checkFdArray,
  size: (spec) => alignUp(NUMBER_SIZE * spec.maxEntries, 64),
  init: () => undefined,
  host: fdArrayHost,
  recover: () => undefined,
  // The verifier lets no program do any of these.
  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
};

export const arrayOfMaps: MapType = {
  ...progArray,
  id: 12,
  name: 'array_of_maps',
  holds: 'maps',
  // What a program gets for a map is its number: helpers that are given it look which map that is.
  emitLookup: (b, spec, { address }, key) => emitFdArrayNumber(b, spec, address, b.load(4, key)),
};

/** Emits the reading of a place: the number there, 0 if there is none. @param index 32 bits of it count */
export function emitFdArrayNumber(b: Builder, { maxEntries }: MapSpec, address: bigint, index: Value): Value {
  const place = b.unary('zext32', index);
  return b.choose(
    b.compare('ult', place, maxEntries),
    () => b.load(NUMBER_SIZE, b.add(b.mul(place, NUMBER_SIZE), address)),
    () => 0,
  );
}

function checkFdArray(spec: MapSpec): void {
  checkNumbers(spec, 0);
  if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, an array wants 4`);
  if (spec.valueSize !== NUMBER_SIZE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${NUMBER_SIZE}`);
  if ((spec.flags & (MapFlag.RDONLY_PROG | MapFlag.WRONLY_PROG)) !== 0) {
    throw badSpec(spec, 'map_flags says what programs may do to it, and they may do nothing');
  }
  checkSize(spec, NUMBER_SIZE * spec.maxEntries);
}

function fdArrayHost({ halves }: MapMemory, spec: MapSpec): HostMap {
  const { maxEntries } = spec;
  const indexOf = (key: Uint8Array): number => {
    requireKey(spec, key);
    return viewOf(key).getUint32(0, true);
  };
  const numberAt = (index: number): Uint8Array | undefined => {
    const number = Atomics.load(halves, index);
    return number === 0 ? undefined : new Uint8Array(Int32Array.of(number).buffer);
  };
  return {
    lookup(key) {
      const index = indexOf(key);
      return index < maxEntries ? numberAt(index) : undefined;
    },
    update(key, value, flags) {
      const index = indexOf(key);
      requireValue(spec, value);
      if (flags !== BigInt(UpdateFlag.ANY)) return -Errno.EINVAL;
      if (index >= maxEntries) return -Errno.E2BIG;
      Atomics.store(halves, index, viewOf(value).getInt32(0, true));
      return 0;
    },
    delete(key) {
      const index = indexOf(key);
      if (index >= maxEntries) return -Errno.E2BIG;
      return Atomics.exchange(halves, index, 0) === 0 ? -Errno.ENOENT : 0;
    },
    *entries() {
      for (let index = 0; index < maxEntries; index++) {
        const number = numberAt(index);
        if (number !== undefined) yield [new Uint8Array(Uint32Array.of(index).buffer), number];
      }
    },
  };
}
