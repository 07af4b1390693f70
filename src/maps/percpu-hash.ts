/**
 * BPF_MAP_TYPE_PERCPU_HASH and its LRU form: a hash map whose elements hold a value for each slot, side by side. Results as in Linux
 * kernel/bpf/hashtab.c; programs see their own slot, the host sees all.
 *
 * A new element begins with zeros in all slots, and a value is then written where it lies, in the run's own slot: nobody else
 * writes there. As after a lookup, a write to a key that is deleted at that moment may reach the key that comes next.
 */
import { alignUp } from '../bytes/align.ts';
import { hash } from './hash.ts';
import { emitHashDelete, emitHashEach, emitHashInsertZeros, emitHashLookup, emitHashUnused } from './hash-code.ts';
import { hashHost, hashValueOffset, noteHashUse } from './hash-host.ts';
import { lruHash } from './lru-hash.ts';
import { Errno, type MapSpec, type MapType, UpdateFlag } from './map-type.ts';
import { requireValue, storeBytes } from './memory.ts';
import { SLOTS } from './slots.ts';
import { badSpec, checkSize } from './spec-check.ts';
import { copyBytes } from './words.ts';

/** PCPU_MIN_UNIT_SIZE, Linux include/linux/percpu.h. */
const MAX_VALUE = 32 * 1024;
/** What the kernel allocates at once, KMALLOC_MAX_SIZE, less its own fields. */
const MAX_KEY = 4 * 1024 * 1024 - 64;

const strideOf = ({ valueSize }: MapSpec): number => alignUp(valueSize, 8);

/** One that is full refuses new keys. */
export const percpuHash: MapType = ofSlots(5, 'percpu_hash', hash);

/** BPF_MAP_TYPE_LRU_PERCPU_HASH: one that is full takes out an entry that was not looked at for long. */
export const lruPercpuHash: MapType = ofSlots(10, 'lru_percpu_hash', lruHash);

function ofSlots(id: number, name: string, base: MapType): MapType {
  /** The hash map that it is: one value is those of all slots. */
  const wide = (spec: MapSpec): MapSpec => ({ ...spec, type: base.id, valueSize: SLOTS * strideOf(spec) });
  const type: MapType = {
    id,
    name,
    slots: SLOTS,

    check(spec) {
      base.check(spec);
      if (spec.keySize > MAX_KEY) throw badSpec(spec, `key_size is ${spec.keySize}, wanted at most ${MAX_KEY}`);
      if (spec.valueSize > MAX_VALUE)
        throw badSpec(spec, `value_size is ${spec.valueSize}, wanted at most ${MAX_VALUE}`);
      checkSize(spec, type.size(spec));
    },

    size: (spec) => base.size(wide(spec)),
    init: (memory, spec) => base.init(memory, wide(spec)),

    host(memory, spec) {
      const all = hashHost(memory, wide(spec));
      const stride = strideOf(spec);
      const { valueSize } = spec;
      return {
        lookup(key, slot = 0) {
          requireSlot(slot);
          return all.lookup(key)?.slice(slot * stride, slot * stride + valueSize);
        },
        update(key, value, flags, slot = 0) {
          requireSlot(slot);
          requireValue(spec, value);
          if (flags > UpdateFlag.EXIST) return -Errno.EINVAL;
          const found = hashValueOffset(memory, wide(spec), key);
          if (found === undefined) {
            const values = new Uint8Array(SLOTS * stride);
            values.set(value, slot * stride);
            return all.update(key, values, flags);
          }
          if (flags === BigInt(UpdateFlag.NOEXIST)) return -Errno.EEXIST;
          storeBytes(memory, found + slot * stride, value);
          noteHashUse(memory, wide(spec), found);
          return 0;
        },
        delete: (key) => all.delete(key),
        *entries() {
          for (const [key, values] of all.entries()) yield [key, values.slice(0, valueSize)];
        },
      };
    },

    usedSlots(memory, spec) {
      const stride = strideOf(spec);
      let last = -1;
      for (const [, values] of hashHost(memory, wide(spec)).entries()) {
        const from = (last + 1) * stride;
        const byte = values.subarray(from).findLastIndex((one) => one !== 0);
        if (byte >= 0) last = Math.floor((from + byte) / stride);
      }
      return last + 1;
    },

    recover: (memory, spec) => base.recover(memory, wide(spec)),

    emitLookup(b, spec, context, key) {
      const values = emitHashLookup(b, wide(spec), context, key);
      return b.choose(
        b.compare('eq', values, 0),
        () => 0,
        () => b.add(values, b.mul(context.slot(b), strideOf(spec))),
      );
    },

    emitUpdate(b, spec, context, key, value, flags) {
      const refused = b.compare('ugt', flags, UpdateFlag.EXIST);
      return b.choose(
        refused,
        () => -Errno.EINVAL,
        () => {
          const slot = b.mul(context.slot(b), strideOf(spec));
          const [result] = b.loop([flags, b.const(0)], 1, (loop, [left, isNew]) => {
            const values = emitHashLookup(b, wide(spec), context, key);
            b.when(b.compare('ne', values, 0), () => {
              b.when(b.compare('eq', left!, UpdateFlag.NOEXIST), () => loop.leave(b.const(-Errno.EEXIST)), 'cold');
              b.when(isNew!, () => emitHashUnused(b, wide(spec), values));
              copyBytes(b, b.add(values, slot), 0, value, 0, spec.valueSize);
              loop.leave(b.const(0));
            });
            b.when(b.compare('eq', left!, UpdateFlag.EXIST), () => loop.leave(b.const(-Errno.ENOENT)), 'cold');
            const inserted = emitHashInsertZeros(b, wide(spec), context, key);
            // It is there now: by us, then any flag will do; by somebody else, then NOEXIST has to see it.
            b.when(b.compare('eq', inserted, 0), () => loop.next(b.const(UpdateFlag.ANY), b.const(1)));
            b.when(b.compare('eq', inserted, BigInt.asUintN(64, BigInt(-Errno.EEXIST))), () =>
              loop.next(left!, isNew!),
            );
            loop.leave(inserted);
          });
          return result!;
        },
        'cold',
      );
    },

    emitDelete: (b, spec, context, key) => emitHashDelete(b, wide(spec), context, key),

    each: {
      emitEach(b, spec, context, visit) {
        const slot = b.mul(context.slot(b), strideOf(spec));
        return emitHashEach(b, wide(spec), context, (key, values) => visit(key, b.add(values, slot)));
      },
    },
  };
  return type;
}

/** @throws RangeError */
function requireSlot(slot: number): void {
  if (slot < 0 || slot >= SLOTS) throw new RangeError(`there is no slot ${slot}, only 0 to ${SLOTS - 1}`);
}
