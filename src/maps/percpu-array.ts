/**
 * BPF_MAP_TYPE_PERCPU_ARRAY: an array for each slot. Results as in Linux kernel/bpf/arraymap.c; programs see their own slot, the
 * host sees all.
 */
import type { Builder } from '../ir/builder.ts';
import { array, emitArrayEach, emitArrayLookup, emitArrayUpdate } from './array.ts';
import { Errno, type MapEmitContext, type MapSpec, type MapType } from './map-type.ts';
import { SLOTS, slotMemory, slotStride } from './slots.ts';
import { badSpec, checkNumbers, checkSize } from './spec-check.ts';

/** PCPU_MIN_UNIT_SIZE, Linux include/linux/percpu.h. */
const MAX_VALUE = 32 * 1024;

const strideOf = (spec: MapSpec): number => slotStride(array.size(spec));

/** The address of the first value of this run's slot. */
const baseOf =
  (b: Builder, spec: MapSpec, { address, slot }: MapEmitContext) =>
  () =>
    b.add(b.mul(slot(b), strideOf(spec)), address);

export const percpuArray: MapType = {
  id: 6,
  name: 'percpu_array',
  slots: SLOTS,

  check(spec) {
    checkNumbers(spec, 0);
    if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, an array wants 4`);
    if (spec.valueSize > MAX_VALUE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted at most ${MAX_VALUE}`);
    checkSize(spec, percpuArray.size(spec));
  },

  size: (spec) => SLOTS * strideOf(spec),
  init: () => undefined,

  host(memory, spec) {
    const stride = strideOf(spec);
    const inSlot = (slot: number) => array.host(slotMemory(memory, slot, stride), spec);
    const first = inSlot(0);
    return {
      lookup: (key, slot = 0) => (slot === 0 ? first : inSlot(slot)).lookup(key),
      update: (key, value, flags, slot = 0) => (slot === 0 ? first : inSlot(slot)).update(key, value, flags),
      delete: (key) => first.delete(key),
      entries: () => first.entries(),
    };
  },

  recover: () => undefined,

  emitLookup: (b, spec, context, key) => emitArrayLookup(b, spec, baseOf(b, spec, context), key),
  emitUpdate: (b, spec, context, key, value, flags) =>
    emitArrayUpdate(b, spec, baseOf(b, spec, context), { key, value, flags }),
  emitDelete: (b) => b.const(-Errno.EINVAL),
  each: { emitEach: (b, spec, context, visit) => emitArrayEach(b, spec, baseOf(b, spec, context)(), visit) },
};
