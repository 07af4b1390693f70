/**
 * BPF_MAP_TYPE_CGROUP_ARRAY: control groups that bpf_current_task_under_cgroup compares with. Tools have one for the case that they are
 * told to; here nothing can be put into it, so that every place of it is empty. Source: Linux kernel/bpf/arraymap.c.
 */
import { Errno, type MapType } from './map-type.ts';
import { badSpec, checkNumbers } from './spec-check.ts';

/** `enum bpf_map_type`. */
export const CGROUP_ARRAY = 8;

export const cgroupArray: MapType = {
  id: CGROUP_ARRAY,
  name: 'cgroup_array',
  check(spec) {
    checkNumbers(spec, 0);
    if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, a cgroup_array wants 4`);
    if (spec.valueSize !== 4) throw badSpec(spec, `value_size is ${spec.valueSize}, a cgroup_array wants 4`);
  },
  size: () => 64,
  init: () => undefined,
  host: () => ({
    lookup: () => undefined,
    update: () => -Errno.EOPNOTSUPP,
    delete: () => -Errno.ENOENT,
    entries: () => [],
  }),
  recover: () => undefined,
  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
  emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
};
