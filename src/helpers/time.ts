/** Clocks. */

import type { Helper } from './helper.ts';
import { Clock, Syscall } from './linux.ts';

/** What the kernel counts from, in seconds ahead of 0: it wants to see counters overflow soon. INITIAL_JIFFIES, Linux include/linux/jiffies.h */
const AHEAD_S = 300n;
const NS_PER_S = 1_000_000_000n;

/** The row of a clock: nanoseconds of clock_gettime(2). */
function clockRow(id: number, name: Helper['name'], clock: number): Helper {
  return {
    id,
    name,
    args: [],
    returns: 'scalar',
    // A process has a vDSO unless it was started with vdso=0, so the system call below is as good as never made.
    requires: [],
    run: (world) => world.nowNs(clock),
    emit(b, _args, { facts }) {
      const timespec = b.stack(16);
      if (facts.clockGettime === undefined) b.syscall(Syscall.clock_gettime, [clock, timespec]);
      else b.callAddress(facts.clockGettime, [b.const(clock), timespec]);
      return b.add(b.mul(b.load(8, timespec, 0), 1_000_000_000), b.load(8, timespec, 8));
    },
  };
}

/** u64 bpf_ktime_get_ns(void): nanoseconds since boot, not counting suspend */
export const ktimeGetNs = clockRow(5, 'bpf_ktime_get_ns', Clock.MONOTONIC);
/** u64 bpf_ktime_get_boot_ns(void): nanoseconds since boot */
export const ktimeGetBootNs = clockRow(125, 'bpf_ktime_get_boot_ns', Clock.BOOTTIME);
/** u64 bpf_ktime_get_coarse_ns(void): as of the last tick */
export const ktimeGetCoarseNs: Helper = {
  ...clockRow(160, 'bpf_ktime_get_coarse_ns', Clock.MONOTONIC_COARSE),
  untraced: true,
};
/** u64 bpf_ktime_get_tai_ns(void): of the calendar, without leap seconds */
export const ktimeGetTaiNs = clockRow(208, 'bpf_ktime_get_tai_ns', Clock.TAI);

/** u64 bpf_jiffies64(void): ticks, as the kernel counts them */
export const jiffies64: Helper = {
  id: 118,
  name: 'bpf_jiffies64',
  args: [],
  returns: 'scalar',
  requires: [],
  run: (world) => world.nowNs(Clock.MONOTONIC_COARSE) / world.tickNs + firstJiffy(world.tickNs),
  emit(b, _args, context) {
    const { tickNs } = context.facts;
    return b.add(b.binary('udiv', ktimeGetCoarseNs.emit(b, [], context), b.const(tickNs)), firstJiffy(tickNs));
  },
};

/** As a negative number of 32 bits. */
function firstJiffy(tickNs: bigint): bigint {
  return BigInt.asUintN(32, -AHEAD_S * (NS_PER_S / tickNs));
}
