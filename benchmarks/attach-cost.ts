/** What attaching costs: time until the probe is in place, how long the target stands still, the bytes it is given. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { performance } from 'node:perf_hooks';
import { type Activity, BenchTarget, type TargetBinary } from './bench-target.ts';
import type { Attachment, Side } from './side.ts';
import { type Spread, spread } from './stats.ts';
import type { BenchProbe } from './workloads.ts';

/** Attaching the counting program to a target of so many threads, and taking it off, over all cycles. */
export interface AttachCost {
  readonly side: string;
  readonly threads: number;
  /** What the threads besides the first do. */
  readonly activity: Activity;
  readonly cycles: number;
  /** From the object file to the probe in place, in ms. */
  readonly attachMs: Spread;
  readonly detachMs: Spread;
  /** As the side tells it; undefined for a side that does not stop the target. */
  readonly pauseUs: Spread | undefined;
  /** The least that stopping these threads takes a program in C that does nothing else, in the same minute; undefined where it may not. */
  readonly floorUs: Spread | undefined;
  /** The longest time the first thread did not run during the attach, as it saw itself: waiting for a core included. */
  readonly stillUs: Spread;
}

/** Bytes of the target's address space, as /proc/PID/smaps counts them. */
export interface MemoryUse {
  readonly mapped: number;
  readonly resident: number;
}

/** What the target has more than before. */
export interface MemoryCost {
  readonly side: string;
  readonly attached: MemoryUse;
  readonly detached: MemoryUse;
}

const PROBES: readonly BenchProbe[] = [{ program: 'count_array', at: 'entry' }];
const SYMBOL = 'work_push';

const CROWDS: readonly { readonly threads: number; readonly activity: Activity }[] = [
  { threads: 1, activity: 'idle' },
  { threads: 16, activity: 'idle' },
  { threads: 256, activity: 'idle' },
  { threads: 16, activity: 'calling' },
  { threads: 256, activity: 'calling' },
];

/** When the next cycle of a crowd is not begun any more, in ms: runnable threads starve whoever attaches to them. */
const CROWD_BUDGET = 5_000;

/** Attaches and detaches up to `cycles` times in targets of 1, 16 and 256 threads, the sides and the floor in turn. */
export async function measureAttach(
  { path, floorPath }: TargetBinary,
  sides: readonly Side[],
  cycles: number,
): Promise<AttachCost[]> {
  const costs: AttachCost[] = [];
  for (const { threads, activity } of CROWDS) {
    using target = await BenchTarget.start(path, threads, activity);
    const floors: number[] = [];
    const series = sides.map((side) => ({ side, samples: [] as Cycle[] }));
    const begin = performance.now();
    for (let cycle = 0; cycle < cycles && performance.now() - begin < CROWD_BUDGET; cycle++) {
      for (const { side, samples } of series) samples.push(await measureCycle(side, target));
      floors.push(...measureFloor(floorPath, target.pid));
    }
    for (const { side, samples } of series) {
      const pauses = samples.flatMap(({ pauseUs }) => pauseUs ?? []);
      costs.push({
        side: side.name,
        threads,
        activity,
        cycles: samples.length,
        attachMs: spread(samples.map(({ attachMs }) => attachMs)),
        detachMs: spread(samples.map(({ detachMs }) => detachMs)),
        pauseUs: pauses.length > 0 ? spread(pauses) : undefined,
        floorUs: pauses.length > 0 && floors.length > 0 ? spread(floors) : undefined,
        stillUs: spread(samples.map(({ stillUs }) => stillUs)),
      });
    }
  }
  return costs;
}

interface Cycle {
  readonly attachMs: number;
  readonly detachMs: number;
  readonly pauseUs: number | undefined;
  readonly stillUs: number;
}

async function measureCycle(side: Side, target: BenchTarget): Promise<Cycle> {
  let attachment: Attachment | undefined;
  let attachMs = 0;
  const stillUs = await target.watch(() => {
    attachMs = milliseconds(() => {
      attachment = side.attach(PROBES, target, SYMBOL);
    });
  });
  const pauseUs = attachment?.pauseUs;
  return { attachMs, detachMs: milliseconds(() => attachment?.[Symbol.dispose]()), pauseUs, stillUs };
}

const FLOOR_CYCLES = 2;

/** What `target/ptrace-floor.c` says of the process; nothing where it may not trace it. */
function measureFloor(path: string, pid: number): readonly number[] {
  const run = spawnSync(path, [String(pid), String(FLOOR_CYCLES)], { encoding: 'utf8' });
  return run.status === 0 ? run.stdout.trim().split('\n').map(Number) : [];
}

function milliseconds(action: () => void): number {
  const begin = performance.now();
  action();
  return performance.now() - begin;
}

/** Attaches once in a fresh target for each side, calls, and looks at what the target's memory has become. */
export async function measureMemory(path: string, sides: readonly Side[]): Promise<MemoryCost[]> {
  const costs: MemoryCost[] = [];
  for (const side of sides) {
    using target = await BenchTarget.start(path);
    const touchAll = () => target.measure(SYMBOL, 1);
    await touchAll();
    const before = memoryOf(target.pid);
    const attachment = side.attach(PROBES, target, SYMBOL);
    await touchAll();
    const attached = memoryOf(target.pid);
    attachment[Symbol.dispose]();
    await touchAll();
    const detached = memoryOf(target.pid);
    costs.push({ side: side.name, attached: less(attached, before), detached: less(detached, before) });
  }
  return costs;
}

function memoryOf(pid: number): MemoryUse {
  const smaps = readFileSync(`/proc/${pid}/smaps`, 'latin1');
  const total = (field: string) =>
    [...smaps.matchAll(new RegExp(`^${field}: +(\\d+) kB$`, 'gm'))].reduce(
      (sum, [, kib]) => sum + Number(kib) * 1024,
      0,
    );
  return { mapped: total('Size'), resident: total('Rss') };
}

function less(after: MemoryUse, before: MemoryUse): MemoryUse {
  return { mapped: after.mapped - before.mapped, resident: after.resident - before.resident };
}
