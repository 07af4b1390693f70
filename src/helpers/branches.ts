/** Branches that the processor has recorded: no machine tells a process in user space of them. */
import { Errno } from '../maps/map-type.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** long bpf_get_branch_snapshot(void *to, u32 size, u64 flags): -ENOENT, as where the processor keeps no record */
export const getBranchSnapshot: Helper = {
  id: 176,
  name: 'bpf_get_branch_snapshot',
  args: ['memWrite', 'memSizeOrZero', 'scalar'],
  returns: 'scalar',
  requires: [],
  run: (_world, [, , flags]) => result(flags === 0n ? -Errno.ENOENT : -Errno.EINVAL),
  emit: (b, [, , flags]) => b.select(b.compare('eq', flags!, 0), -Errno.ENOENT, -Errno.EINVAL),
};
