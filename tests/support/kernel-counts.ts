/**
 * How often the kernel saw system calls of a process: its tracepoints, counted in every thread there is now and every child that
 * comes. The first event of a tracepoint takes the kernel tens of milliseconds to begin and to end, others of the same tracepoint,
 * told apart by filters, next to none. Needs the right to mount tracefs, for the numbers of the tracepoints.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, readdirSync, readFileSync, readSync, rmdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openPerfEvent } from '../../benchmarks/kernel/perf-event.ts';
import { CallMemory, Sys, syscall } from '../../benchmarks/kernel/syscall.ts';

const MOUNTED = '/sys/kernel/tracing';

const PERF_TYPE_TRACEPOINT = 2;
/** Children are counted too. */
const INHERIT = 2n;
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
    for (const of of wanted) {
      const attributes = { type: PERF_TYPE_TRACEPOINT, config: tracepointId(of), flags: INHERIT };
      const filter = of.filter === undefined ? undefined : memory.placeString(of.filter);
      for (const tid of readdirSync(`/proc/${pid}/task`)) {
        const fd = openPerfEvent('count a tracepoint', memory, Number(tid), attributes);
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
