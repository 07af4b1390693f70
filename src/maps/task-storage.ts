/**
 * BPF_MAP_TYPE_TASK_STORAGE: a value for each thread, made when a program first asks for it. A hash map whose keys are threads: ids of
 * several pid namespaces may meet in one map. What ended threads leave is forgotten by whoever watches them. Results as in Linux
 * kernel/bpf/bpf_task_storage.c; there is room for CAPACITY threads.
 */
import { viewOf } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { hash } from './hash.ts';
import { emitHashDelete, emitHashInsertZeros, emitHashLookup, emitHashUpdate } from './hash-code.ts';
import { hashHost } from './hash-host.ts';
import {
  Errno,
  type HostMap,
  type MapEmitContext,
  type MapMemory,
  type MapSpec,
  type MapType,
  type ThreadOwner,
  UpdateFlag,
} from './map-type.ts';
import { requireKey } from './memory.ts';
import { badSpec, checkNumbers, checkSize, MapFlag } from './spec-check.ts';

/** `enum bpf_map_type`. */
export const TASK_STORAGE = 29;

/** BPF_LOCAL_STORAGE_GET_F_CREATE, Linux include/uapi/linux/bpf.h. */
const CREATE = 1;

/** Threads that may have values at a time. */
const CAPACITY = 4096;

/** Thread id and namespace, u32 each. */
const OWNER_SIZE = 8;

/** BPF_LOCAL_STORAGE_MAX_VALUE_SIZE: 16 bits, less the kernel's own fields. */
const MAX_VALUE = 0xffff - 64;

export const taskStorage: MapType = {
  id: TASK_STORAGE,
  name: 'task_storage',

  check(spec) {
    checkNumbers({ ...spec, maxEntries: 1 }, MapFlag.NO_PREALLOC);
    if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, a task_storage wants 4`);
    if (spec.maxEntries !== 0) throw badSpec(spec, `max_entries is ${spec.maxEntries}, a task_storage wants 0`);
    if ((spec.flags & MapFlag.NO_PREALLOC) === 0) {
      throw badSpec(spec, 'map_flags lacks BPF_F_NO_PREALLOC, without which there is no task_storage');
    }
    if (spec.valueSize > MAX_VALUE) throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${MAX_VALUE} at most`);
    checkSize(spec, taskStorage.size(spec));
  },

  size: (spec) => hash.size(byOwner(spec)),
  init: (memory, spec) => hash.init(memory, byOwner(spec)),
  host: threadValues,
  recover: (memory, spec) => hash.recover(memory, byOwner(spec)),

  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
  threadValues: { emitGet, emitForget },
};

/** The hash map that it is. */
function byOwner(spec: MapSpec): MapSpec {
  return { ...spec, type: hash.id, keySize: OWNER_SIZE, maxEntries: CAPACITY, flags: 0 };
}

function emitGet(b: Builder, spec: MapSpec, context: MapEmitContext, owner: Value, value: Value, flags: Value): Value {
  const wide = byOwner(spec);
  const get = context.shared(`${spec.name}.get`, 3, (b, [owner, value, flags]) => {
    b.when(b.compare('ugt', flags!, CREATE), () => b.return(0), 'cold');
    const key = ownerKey(b, owner!);
    const [found] = b.loop([], 1, (retry) => {
      const there = emitHashLookup(b, wide, context, key);
      b.when(b.compare('ne', there, 0), () => retry.leave(there));
      b.when(b.compare('eq', flags!, 0), () => retry.leave(b.const(0)));
      const made = b.choose(
        b.compare('eq', value!, 0),
        () => emitHashInsertZeros(b, wide, context, key),
        () => emitHashUpdate(b, wide, context, key, value!, b.const(UpdateFlag.NOEXIST)),
      );
      // Made by us, or by a program in a signal handler of this thread.
      b.when(b.compare('eq', made, 0), () => retry.next());
      b.when(b.compare('eq', made, BigInt.asUintN(64, BigInt(-Errno.EEXIST))), () => retry.next());
      retry.leave(b.const(0));
    });
    b.return(found!);
  });
  return b.call(get, [owner, value, flags]);
}

function emitForget(b: Builder, spec: MapSpec, context: MapEmitContext, owner: Value): Value {
  return emitHashDelete(b, byOwner(spec), context, ownerKey(b, owner));
}

function ownerKey(b: Builder, owner: Value): Value {
  const key = b.stack(OWNER_SIZE);
  b.store(8, key, 0, owner);
  return key;
}

/** For the host a key is a thread's id; one of OWNER_SIZE bytes names its namespace too. Only the latter can be new. */
function threadValues(memory: MapMemory, spec: MapSpec): HostMap {
  const all = hashHost(memory, byOwner(spec));
  const keysOf = (key: Uint8Array): Uint8Array[] => {
    if (key.length === OWNER_SIZE) return [key];
    requireKey(spec, key);
    const thread = viewOf(key).getUint32(0, true);
    return Array.from(all.entries(), ([owner]) => owner).filter((owner) => ownerOf(owner).thread === thread);
  };
  return {
    lookup(key) {
      const [owner] = keysOf(key);
      return owner && all.lookup(owner);
    },
    update(key, value, flags) {
      const [owner] = keysOf(key);
      if (flags > UpdateFlag.EXIST) return -Errno.EINVAL;
      if (owner === undefined) return -Errno.ESRCH;
      const result = all.update(owner, value, flags);
      return result === -Errno.E2BIG ? -Errno.ENOMEM : result;
    },
    delete(key) {
      const results = keysOf(key).map((owner) => all.delete(owner));
      return results.find((result) => result === 0) ?? -Errno.ENOENT;
    },
    *entries() {
      for (const [owner, value] of all.entries()) yield [owner.slice(0, spec.keySize), value];
    },
    owners: {
      all: () => Array.from(all.entries(), ([owner]) => ownerOf(owner)),
      forget: ({ thread, namespace }) => void all.delete(new Uint8Array(Uint32Array.of(thread, namespace).buffer)),
    },
  };
}

function ownerOf(owner: Uint8Array): ThreadOwner {
  const view = viewOf(owner);
  return { thread: view.getUint32(0, true), namespace: view.getUint32(4, true) };
}
