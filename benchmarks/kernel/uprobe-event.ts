/** A kernel uprobe of one process that runs a program, by perf_event_open(2); gone when its descriptor is closed. */
import { closeSync, readFileSync } from 'node:fs';
import { openPerfEvent } from './perf-event.ts';
import { CallMemory, Sys, syscall } from './syscall.ts';

/** Where the kernel tells the perf event type of uprobes; absent if it was built without them. */
const PMU_TYPE = '/sys/bus/event_source/devices/uprobe/type';

const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_EVENT_IOC_SET_BPF = 0x4004_2408;

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
  const event = openPerfEvent(`open a uprobe on ${path}`, memory, pid, {
    type: Number(readFileSync(PMU_TYPE, 'latin1')),
    config: at === 'return' ? RETURN : 0n,
    samplePeriod: 1n,
    wakeupEvents: 1,
    config1: memory.placeString(path),
    config2: BigInt(offset),
  });
  try {
    syscall('give the uprobe its program', Sys.ioctl, [event, PERF_EVENT_IOC_SET_BPF, program]);
    syscall('enable the uprobe', Sys.ioctl, [event, PERF_EVENT_IOC_ENABLE, 0]);
  } catch (error) {
    closeSync(event);
    throw error;
  }
  return event;
}
