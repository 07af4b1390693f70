/** Control groups. */
import { CGROUP_ARRAY } from '../maps/cgroup-array.ts';
import { Errno } from '../maps/map-type.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** long bpf_current_task_under_cgroup(map, u32 index): -EAGAIN where the map has no group, -E2BIG behind its end */
export const currentTaskUnderCgroup: Helper = {
  id: 37,
  name: 'bpf_current_task_under_cgroup',
  args: ['map', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: [CGROUP_ARRAY],
  run: () => result(-Errno.EAGAIN),
  emit(b, [map, index], context) {
    const { maxEntries } = context.map(map!).spec;
    return b.select(b.compare('ult', b.unary('zext32', index!), maxEntries), -Errno.EAGAIN, -Errno.E2BIG);
  },
};
