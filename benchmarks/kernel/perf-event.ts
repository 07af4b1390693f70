/** Opens events of perf_event_open(2): what they have in common, whether a program runs at them or they count by themselves. */
import { struct } from '../../src/bytes/struct.ts';
import { type CallMemory, Sys, syscall } from './syscall.ts';

/** struct perf_event_attr up to PERF_ATTR_SIZE_VER1. Linux include/uapi/linux/perf_event.h */
const PerfEventAttr = struct('perf_event_attr', 72, {
  type: 'u32',
  size: 'u32',
  config: 'u64',
  samplePeriod: 'u64',
  sampleType: 'u64',
  readFormat: 'u64',
  flags: 'u64',
  wakeupEvents: 'u32',
  breakpointType: 'u32',
  config1: 'u64',
  config2: 'u64',
});

const PERF_FLAG_FD_CLOEXEC = 8;
const ANY_CPU = -1;
const NO_GROUP = -1;

type Attributes = Partial<ReturnType<typeof PerfEventAttr.read>>;

/**
 * Opens an event of one thread.
 *
 * @param what completes "cannot ..." in the error
 * @param attributes those that are not 0
 * @returns its file descriptor
 * @throws {SyscallError}
 */
export function openPerfEvent(what: string, memory: CallMemory, tid: number, attributes: Attributes): number {
  const attr = memory.reserve(PerfEventAttr.size);
  const blank = PerfEventAttr.read(attr.bytes, 0);
  PerfEventAttr.write(attr.bytes, 0, { ...blank, size: PerfEventAttr.size, ...attributes });
  return syscall(what, Sys.perfEventOpen, [attr.address, tid, ANY_CPU, NO_GROUP, PERF_FLAG_FD_CLOEXEC]);
}
