/**
 * The helpers on values that belong to threads. What they do is written in the map's type; Linux kernel/bpf/bpf_task_storage.c. The only
 * task that a program can name is its own.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno, type MapEmitContext, type MapSpec, type ThreadValueCode, UpdateFlag } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import { TASK_STORAGE } from '../maps/task-storage.ts';
import { HelperError } from './errors.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { result } from './result.ts';
import { emitThreadId } from './task.ts';

/** BPF_LOCAL_STORAGE_GET_F_CREATE */
const CREATE = 1n;

/** void *bpf_task_storage_get(map, struct task_struct *task, void *value, u64 flags) */
export const taskStorageGet: Helper = {
  id: 156,
  name: 'bpf_task_storage_get',
  args: ['map', 'taskOrNull', 'mapValueOrNull', 'scalar'],
  returns: 'mapValueOrNull',
  requires: ['syscall'],
  maps: [TASK_STORAGE],
  run(world, [map, task, value, flags]) {
    if (task === 0n || flags! > CREATE) return 0n;
    const owner = ownerIn(world);
    if (flags === CREATE) {
      const { valueSize } = world.mapSizes(map!);
      const first = value === 0n ? new Uint8Array(valueSize) : world.memory.view(value!, valueSize);
      world.mapUpdate(map!, owner, first, BigInt(UpdateFlag.NOEXIST));
    }
    return world.mapLookup(map!, owner);
  },
  emit(b, [map, task, value, flags], context) {
    const { code, spec, place } = resolve(context, map!);
    return b.choose(
      b.compare('eq', task!, 0),
      () => 0,
      () => code.emitGet(b, spec, place, emitOwner(b, context), value!, flags!),
      'cold',
    );
  },
};

/** long bpf_task_storage_delete(map, struct task_struct *task) */
export const taskStorageDelete: Helper = {
  id: 157,
  name: 'bpf_task_storage_delete',
  args: ['map', 'taskOrNull'],
  returns: 'scalar',
  requires: ['syscall'],
  maps: [TASK_STORAGE],
  run: (world, [map, task]) => result(task === 0n ? -Errno.EINVAL : world.mapDelete(map!, ownerIn(world))),
  emit(b, [map, task], context) {
    const { code, spec, place } = resolve(context, map!);
    return b.choose(
      b.compare('eq', task!, 0),
      () => -Errno.EINVAL,
      () => code.emitForget(b, spec, place, emitOwner(b, context)),
      'cold',
    );
  },
};

/** The running thread, as a key of such maps. */
function ownerIn(world: HelperWorld): Uint8Array {
  return new Uint8Array(BigUint64Array.of(BigInt.asUintN(32, world.pidTgid)).buffer);
}

function emitOwner(b: Builder, context: EmitContext): Value {
  const namespace = BigInt.asUintN(32, context.facts.outside?.pidNamespace?.inode ?? 0n);
  return b.or(emitThreadId(b, context), b.const(namespace << 32n));
}

function resolve(context: EmitContext, map: Value): { code: ThreadValueCode; spec: MapSpec; place: MapEmitContext } {
  const { spec, address } = context.map(map);
  const { threadValues, name } = mapTypeOf(spec);
  if (threadValues === undefined) {
    const reason = `cannot get a thread's value from map ${spec.name}: its type is ${name}, wanted a task_storage`;
    throw new HelperError('HELPER_NO_THREADS', reason);
  }
  const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
  return { code: threadValues, spec, place };
}
