/** A kernel uprobe of one process that runs a program, by perf_event_open(2); gone when its descriptor is closed. */
import { closeSync, readFileSync } from 'node:fs';
import { struct } from '../../src/bytes/struct.ts';
import { CallMemory, Sys, syscall } from './syscall.ts';

/** Where the kernel tells the perf event type of uprobes; absent if it was built without them. */
const PMU_TYPE = '/sys/bus/event_source/devices/uprobe/type';

const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_EVENT_IOC_SET_BPF = 0x4004_2408;

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
  uprobePath: 'u64',
  probeOffset: 'u64',
});

/** Where a program is to run: when a thread of `pid` comes to a byte of a file, or returns from the function there. */
export interface UprobePlace {
  readonly pid: number;
  readonly path: string;
  readonly offset: number;
  readonly at: 'entry' | 'return' | 'override';
}

/** The bit of `config` that asks for the return: /sys/bus/event_source/devices/uprobe/format/retprobe. */
const RETURN = 1n;

/**
 * Runs a loaded program at a place. The event is the first thread's, but its program runs in all.
 *
 * @returns the event's file descriptor
 * @throws {SyscallError} if the kernel does not let us; an Error with code ENOENT if it has no uprobes
 */
export function openUprobe(program: number, { pid, path, offset, at }: UprobePlace): number {
  using memory = new CallMemory();
  const attr = memory.reserve(PerfEventAttr.size);
  PerfEventAttr.write(attr.bytes, 0, {
    type: Number(readFileSync(PMU_TYPE, 'latin1')),
    size: PerfEventAttr.size,
    config: at === 'return' ? RETURN : 0n,
    samplePeriod: 1n,
    sampleType: 0n,
    readFormat: 0n,
    flags: 0n,
    wakeupEvents: 1,
    breakpointType: 0,
    uprobePath: memory.placeString(path),
    probeOffset: BigInt(offset),
  });
  const anyCpu = -1;
  const noGroup = -1;
  const args = [attr.address, pid, anyCpu, noGroup, PERF_FLAG_FD_CLOEXEC];
  const event = syscall(`open a uprobe on ${path}`, Sys.perfEventOpen, args);
  try {
    syscall('give the uprobe its program', Sys.ioctl, [event, PERF_EVENT_IOC_SET_BPF, program]);
    syscall('enable the uprobe', Sys.ioctl, [event, PERF_EVENT_IOC_ENABLE, 0]);
  } catch (error) {
    closeSync(event);
    throw error;
  }
  return event;
}
