/**
 * BPF_MAP_TYPE_ARRAY, and the data sections of an object: `maxEntries` values side by side, each padded to 8 bytes. The
 * key is a u32 index. Results as in Linux kernel/bpf/arraymap.c.
 *
 *     | value 0 | pad | value 1 | pad | ...
 *     0               stride
 */
import { alignUp } from '../bytes/align.ts';
import { viewOf } from '../bytes/struct.ts';
import type { Builder, Operand } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno, type MapSpec, type MapType, UpdateFlag } from './map-type.ts';
import { loadBytes, requireKey, requireValue, storeBytes } from './memory.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';
import { copyBytes } from './words.ts';

/** Byte offset of value `index` in the map's memory: where the address of a data section's variables counts from. */
export function arrayValueOffset(spec: MapSpec, index: number): number {
  return index * stride(spec);
}

export const array: MapType = {
  id: 2,
  name: 'array',

  check(spec) {
    checkNumbers(spec, MapFlag.MMAPABLE);
    if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, an array wants 4`);
    if (spec.valueSize > 2 ** 31 - 1) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted less than 2^31`);
    checkSize(spec, array.size(spec));
  },

  size: (spec) => alignUp(stride(spec) * spec.maxEntries, 64),

  init({ bytes }, { initialValue }) {
    if (initialValue !== undefined) bytes.set(initialValue);
  },

  host(memory, spec) {
    const { maxEntries, valueSize } = spec;
    return {
      lookup(key) {
        const index = indexOf(spec, key);
        return index < maxEntries ? loadBytes(memory, arrayValueOffset(spec, index), valueSize) : undefined;
      },
      update(key, value, flags) {
        const index = indexOf(spec, key);
        requireValue(spec, value);
        if (flags > UpdateFlag.EXIST) return -Errno.EINVAL;
        if (index >= maxEntries) return -Errno.E2BIG;
        if (flags === BigInt(UpdateFlag.NOEXIST)) return -Errno.EEXIST;
        storeBytes(memory, arrayValueOffset(spec, index), value);
        return 0;
      },
      delete(key) {
        requireKey(spec, key);
        return -Errno.EINVAL;
      },
      *entries() {
        for (let index = 0; index < maxEntries; index++) {
          const key = new Uint8Array(4);
          viewOf(key).setUint32(0, index, true);
          yield [key, loadBytes(memory, arrayValueOffset(spec, index), valueSize)];
        }
      },
    };
  },

  recover: () => undefined,

  emitLookup: (b, spec, { address }, key) => emitArrayLookup(b, spec, () => address, key),
  emitUpdate: (b, spec, { address }, key, value, flags) =>
    emitArrayUpdate(b, spec, () => address, { key, value, flags }),
  emitDelete: (b) => b.const(-Errno.EINVAL),
  each: { emitEach: (b, spec, { address }, visit) => emitArrayEach(b, spec, address, visit) },
};

/** Emits bpf_map_lookup_elem of values side by side. @param base writes the address of the first, where it is needed */
export function emitArrayLookup(b: Builder, spec: MapSpec, base: () => Operand, key: Value): Value {
  const index = b.load(4, key);
  return b.choose(
    b.compare('ult', index, spec.maxEntries),
    () => valueAddress(b, spec, base, index),
    () => 0,
  );
}

/** Emits bpf_map_update_elem of values side by side. */
export function emitArrayUpdate(
  b: Builder,
  spec: MapSpec,
  base: () => Operand,
  { key, value, flags }: { readonly key: Value; readonly value: Value; readonly flags: Value },
): Value {
  const index = b.load(4, key);
  const refuse = (condition: Value, errno: number, otherwise: () => Value) =>
    b.choose(condition, () => -errno, otherwise, 'cold');
  return refuse(b.compare('ugt', flags, UpdateFlag.EXIST), Errno.EINVAL, () =>
    refuse(b.compare('uge', index, spec.maxEntries), Errno.E2BIG, () =>
      refuse(b.compare('eq', flags, UpdateFlag.NOEXIST), Errno.EEXIST, () => {
        copyBytes(b, valueAddress(b, spec, base, index), 0, value, 0, spec.valueSize);
        return b.const(0);
      }),
    ),
  );
}

/** Emits bpf_for_each_map_elem of values side by side. */
export function emitArrayEach(
  b: Builder,
  spec: MapSpec,
  base: Operand,
  visit: (key: Value, value: Value) => Value,
): Value {
  const key = b.stack(8);
  const [count] = b.loop([b.const(0)], 1, (loop, [index]) => {
    b.when(b.compare('eq', index!, spec.maxEntries), () => loop.leave(index!));
    b.store(4, key, 0, index!);
    const stops = visit(
      key,
      valueAddress(b, spec, () => base, index!),
    );
    const following = b.add(index!, 1);
    b.when(stops, () => loop.leave(following));
    loop.next(following);
  });
  return count!;
}

function valueAddress(b: Builder, spec: MapSpec, base: () => Operand, index: Value): Value {
  return b.add(b.mul(index, stride(spec)), base());
}

function stride({ valueSize }: MapSpec): number {
  return alignUp(valueSize, 8);
}

function indexOf(spec: MapSpec, key: Uint8Array): number {
  requireKey(spec, key);
  return viewOf(key).getUint32(0, true);
}
