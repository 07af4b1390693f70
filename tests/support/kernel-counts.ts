/**
 * How often the kernel saw system calls of a process: its tracepoints, counted in every thread there is now and every child that
 * comes. The first event of a tracepoint takes the kernel tens of milliseconds to begin and to end, others of the same tracepoint,
 * told apart by filters, next to none. Needs the right to mount tracefs, for the numbers of the tracepoints.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, readSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallMemory, Sys, syscall } from '../../benchmarks/kernel/syscall.ts';
import { struct } from '../../src/bytes/struct.ts';

const MOUNTED = '/sys/kernel/tracing';

/** struct perf_event_attr up to PERF_ATTR_SIZE_VER0. Linux include/uapi/linux/perf_event.h */
const PerfEventAttr = struct('perf_event_attr', 64, {
  type: 'u32',
  size: 'u32',
  config: 'u64',
  samplePeriod: 'u64',
  sampleType: 'u64',
  readFormat: 'u64',
  flags: 'u64',
  wakeupEvents: 'u32',
  breakpointType: 'u32',
  breakpointAddress: 'u64',
});
const PERF_TYPE_TRACEPOINT = 2;
/** Children are counted too. */
const INHERIT = 2n;
const PERF_FLAG_FD_CLOEXEC = 8;
/** PERF_EVENT_IOC_SET_FILTER, the only one that takes a string. */
const SET_FILTER = 0x4008_2406;

/** What is counted: calls as they begin or as they end. */
export interface Counted {
  readonly direction: 'enter' | 'exit';
  /** One call, by the name of its own tracepoint; all if not given. */
  readonly call?: string;
  /** Only those for which this holds, in the kernel's language: `id == 0`, `ret < 0`. */
  readonly filter?: string;
}

const ids = new Map<string, bigint>();

/** The number of a tracepoint. @throws Error if there is no tracefs and none can be mounted */
function tracepointId({ direction, call }: Counted): bigint {
  const event = call === undefined ? `raw_syscalls/sys_${direction}` : `syscalls/sys_${direction}_${call}`;
  const known = ids.get(event);
  if (known !== undefined) return known;
  const isMounted = existsSync(join(MOUNTED, 'events'));
  const root = isMounted ? MOUNTED : mkdtempSync(join(tmpdir(), 'remora-tracefs-'));
  if (!isMounted) run('mount', '-t', 'tracefs', 'nodev', root);
  try {
    const id = BigInt(readFileSync(join(root, 'events', event, 'id'), 'latin1').trim());
    ids.set(event, id);
    return id;
  } finally {
    if (!isMounted) {
      run('umount', root);
      rmdirSync(root);
    }
  }
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot ${command} tracefs: ${stderr}`);
}

export class KernelCounts implements Disposable {
  readonly #events: { readonly of: Counted; readonly fd: number }[] = [];

  /** Counts from now on. */
  constructor(pid: number, wanted: readonly Counted[]) {
    using memory = new CallMemory();
    const attr = memory.reserve(PerfEventAttr.size);
    for (const of of wanted) {
      PerfEventAttr.write(attr.bytes, 0, {
        type: PERF_TYPE_TRACEPOINT,
        size: PerfEventAttr.size,
        config: tracepointId(of),
        samplePeriod: 0n,
        sampleType: 0n,
        readFormat: 0n,
        flags: INHERIT,
        wakeupEvents: 0,
        breakpointType: 0,
        breakpointAddress: 0n,
      });
      const filter = of.filter === undefined ? undefined : memory.placeString(of.filter);
      for (const tid of readdirSync(`/proc/${pid}/task`)) {
        const args = [attr.address, Number(tid), -1, -1, PERF_FLAG_FD_CLOEXEC];
        const fd = syscall('count a tracepoint', Sys.perfEventOpen, args);
        this.#events.push({ of, fd });
        if (filter !== undefined) syscall(`count where ${of.filter}`, Sys.ioctl, [fd, SET_FILTER, filter]);
      }
    }
  }

  /** How often, since the beginning. @param counted one of those that were wanted */
  read(counted: Counted): number {
    const value = new BigUint64Array(1);
    let sum = 0;
    for (const { of, fd } of this.#events) {
      if (of !== counted) continue;
      readSync(fd, value);
      sum += Number(value[0]);
    }
    return sum;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#events.splice(0)) closeSync(fd);
  }
}
