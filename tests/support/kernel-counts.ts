/**
 * How often the kernel saw system calls of a process: its tracepoints, counted in every thread there is now and every child that
 * comes. Each one takes the kernel tens of milliseconds to begin and to end, so only some calls are counted by themselves, and all
 * together. Needs the right to mount tracefs, for the numbers of the tracepoints.
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

/** All calls together, or one by its name. */
export type Counted = 'all' | string;
type Direction = 'enter' | 'exit';

const ids = new Map<string, bigint>();

/** The number of a tracepoint. @throws Error if there is no tracefs and none can be mounted */
function tracepointId(direction: Direction, counted: Counted): bigint {
  const event = counted === 'all' ? `raw_syscalls/sys_${direction}` : `syscalls/sys_${direction}_${counted}`;
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
  readonly #events: { readonly direction: Direction; readonly counted: Counted; readonly fd: number }[] = [];

  /** Counts from now on. */
  constructor(pid: number, wanted: readonly (readonly [Direction, Counted])[]) {
    using memory = new CallMemory();
    const attr = memory.reserve(PerfEventAttr.size);
    for (const [direction, counted] of wanted) {
      PerfEventAttr.write(attr.bytes, 0, {
        type: PERF_TYPE_TRACEPOINT,
        size: PerfEventAttr.size,
        config: tracepointId(direction, counted),
        samplePeriod: 0n,
        sampleType: 0n,
        readFormat: 0n,
        flags: INHERIT,
        wakeupEvents: 0,
        breakpointType: 0,
        breakpointAddress: 0n,
      });
      for (const tid of readdirSync(`/proc/${pid}/task`)) {
        const args = [attr.address, Number(tid), -1, -1, PERF_FLAG_FD_CLOEXEC];
        this.#events.push({ direction, counted, fd: syscall('count a tracepoint', Sys.perfEventOpen, args) });
      }
    }
  }

  read(direction: Direction, counted: Counted): number {
    const value = new BigUint64Array(1);
    let sum = 0;
    for (const event of this.#events) {
      if (event.direction !== direction || event.counted !== counted) continue;
      readSync(event.fd, value);
      sum += Number(value[0]);
    }
    return sum;
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.#events.splice(0)) closeSync(fd);
  }
}
