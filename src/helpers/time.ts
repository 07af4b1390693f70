/** Clocks. */

import type { Helper } from './helper.ts';
import { CLOCK_MONOTONIC, Syscall } from './linux.ts';

/** u64 bpf_ktime_get_ns(void): nanoseconds since boot, not counting suspend. */
export const ktimeGetNs: Helper = {
  id: 5,
  name: 'bpf_ktime_get_ns',
  args: [],
  returns: 'scalar',
  // A process has a vDSO unless it was started with vdso=0, so the system call below is as good as never made.
  requires: [],
  run: (world) => world.nowNs(),
  emit(b, _args, { facts }) {
    const timespec = b.stack(16);
    const clock = b.const(CLOCK_MONOTONIC);
    if (facts.clockGettime === undefined) b.syscall(Syscall.clock_gettime, [clock, timespec]);
    else b.callAddress(facts.clockGettime, [clock, timespec]);
    return b.add(b.mul(b.load(8, timespec, 0), 1_000_000_000), b.load(8, timespec, 8));
  },
};
