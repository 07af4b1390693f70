/**
 * What programs at system calls add to a call: to two that are traced and to one that is not, beside the kernel's own tracepoints,
 * there with a counter instead of a program, since the kernel would run a program for every process, and beside strace -c.
 */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openObject, openProcess, type TargetProcess } from '../src/index.ts';
import { readStatus } from '../src/sys/proc.ts';
import { ControlFile } from '../tests/support/control-file.ts';
import { KernelCounts } from '../tests/support/kernel-counts.ts';
import { ROOT } from '../tests/support/root.ts';
import { compileTarget, type RunningTarget, startTarget, waitUntil } from '../tests/support/targets.ts';
import { type Spread, spread } from './stats.ts';

const TRACED = ['getppid', 'read'] as const;
const NUMBERS = { getppid: 110, read: 0 } as const;
const WORDS = ['go', 'done', ...TRACED, 'getuid', 'calls', 'loops'] as const;
type Times = Readonly<Record<(typeof TRACED)[number] | 'getuid', number>>;

/** How getppid and read are traced, and what that adds to them and to getuid, in ns. */
export interface SystemCallCost {
  readonly label: string;
  readonly getppid: Spread;
  readonly read: Spread;
  /** Traced only where every call is. */
  readonly getuid: Spread;
  readonly goals: SystemCallGoals;
  /** Calls that were made and not counted, or counted and not made. */
  readonly miscounted: number;
}

export interface SystemCallGoals {
  /** The most it may add to a call that is traced. */
  readonly tracedNs?: number;
  /** And to one that is not: as much as the noise. */
  readonly untracedNs?: number;
  /** The row of the kernel that it is compared with: it may add no more than this share of what that adds. */
  readonly besides?: { readonly label: string; readonly share: number };
}

type Directions = readonly ('enter' | 'exit')[];

/** How calls are counted: by programs of tests/objects/syscalls.bpf.c at these calls or at all, by the kernel, by strace. */
interface Case {
  readonly label: string;
  readonly by: 'remora' | 'remora, every call' | 'kernel' | 'strace';
  readonly directions: Directions;
  readonly goals?: SystemCallGoals;
}

const KERNEL = "the kernel's counter";
const KERNEL_BOTH = "the kernel's counters at entry and exit";
const SHARE = 1 / 5;

const CASES: readonly Case[] = [
  {
    label: 'count at entry',
    by: 'remora',
    directions: ['enter'],
    goals: { tracedNs: 5, untracedNs: 1, besides: { label: KERNEL, share: SHARE } },
  },
  {
    label: 'count at entry and exit',
    by: 'remora',
    directions: ['enter', 'exit'],
    goals: { tracedNs: 12, untracedNs: 1, besides: { label: KERNEL_BOTH, share: SHARE } },
  },
  { label: 'count every call', by: 'remora, every call', directions: ['enter'] },
  { label: 'count every call at entry and exit', by: 'remora, every call', directions: ['enter', 'exit'] },
  { label: KERNEL, by: 'kernel', directions: ['enter'] },
  { label: KERNEL_BOTH, by: 'kernel', directions: ['enter', 'exit'] },
  { label: 'strace -c', by: 'strace', directions: ['enter', 'exit'] },
];

const OBJECT = join(ROOT, 'tests/objects/clang-19/syscalls.bpf.o');
/** Loops of each measurement, of which the quietest counts. Strace is so slow that it needs few. */
const LOOPS = 150;
const STRACE_LOOPS = 5;
const STRACE_ROUNDS = 2;
/** Measurements a round, each with as many bare ones in front of it and behind. */
const TURNS = 2;

/**
 * Where code and data of a process happen to lie makes more of a difference, some nanoseconds, than what is measured: each round has
 * a process of its own, and is compared with itself.
 *
 * @param rounds in which all cases follow one another
 */
export function measureSystemCalls(rounds: number): SystemCallCost[] {
  const hasStrace = spawnSync('strace', ['-V']).status === 0;
  const cases = CASES.filter(({ by }) => by !== 'strace' || hasStrace);
  const samples = cases.map(() => [] as (Measured & { readonly bare: Times })[]);
  for (let round = 0; round < rounds; round++) {
    using control = new ControlFile(WORDS);
    using target = startTarget(compileTarget('asking'), [control.path]);
    using process = openProcess(target.pid);
    const loop = new Loop(control, target);
    for (const [n, { by, directions }] of cases.entries()) {
      const turns = by === 'strace' ? Number(round < STRACE_ROUNDS) : TURNS;
      const pairs = Array.from({ length: turns }, () => {
        const loops = by === 'strace' ? STRACE_LOOPS : LOOPS;
        const before = loop.measure(loops / 2);
        const { times, miscounted } = MEASURE[by](process, loop, directions, loops);
        return { times, miscounted, bare: leastOf([before, loop.measure(loops / 2)]) };
      });
      if (turns === 0) continue;
      samples[n]!.push({
        // The least of as many loops each, made in turn: of more loops the least would be less.
        times: leastOf(pairs.map(({ times }) => times)),
        bare: leastOf(pairs.map(({ bare }) => bare)),
        miscounted: sum(pairs.map(({ miscounted }) => miscounted)),
      });
    }
  }
  return cases.map(({ label, goals = {} }, n) => {
    const added = (call: keyof Times): Spread => spread(samples[n]!.map(({ times, bare }) => times[call] - bare[call]));
    const miscounted = sum(samples[n]!.map((one) => one.miscounted));
    return { label, getppid: added('getppid'), read: added('read'), getuid: added('getuid'), goals, miscounted };
  });
}

function leastOf(all: readonly Times[]): Times {
  const least = (call: keyof Times): number => Math.min(...all.map((times) => times[call]));
  return { getppid: least('getppid'), read: least('read'), getuid: least('getuid') };
}

interface Measured {
  readonly times: Times;
  readonly miscounted: number;
}

type Measure = (process: TargetProcess, loop: Loop, directions: Directions, loops: number) => Measured;

const MEASURE: Readonly<Record<Case['by'], Measure>> = {
  remora: (process, loop, directions, loops) =>
    besidePrograms(process, loop, directions, loops, (direction) =>
      TRACED.map((call) => `tp:syscalls/sys_${direction}_${call}`),
    ),
  'remora, every call': (process, loop, directions, loops) =>
    besidePrograms(process, loop, directions, loops, (direction) => [`tp:raw_syscalls/sys_${direction}`]),
  kernel({ pid }, loop, directions, loops) {
    const counted = directions.flatMap((direction) => TRACED.map((call) => ({ direction, call })));
    using kernel = new KernelCounts(pid, counted);
    const before = loop.calls;
    const times = loop.measure(loops);
    const made = loop.calls - before;
    return { times, miscounted: sum(counted.map((one) => Math.abs(kernel.read(one) - made))) };
  },
  strace({ pid }, loop, _, loops) {
    const strace = spawn('strace', ['-c', '-f', '-o', '/dev/null', '-p', `${pid}`], { stdio: 'ignore' });
    try {
      waitUntil('strace traces', () => readStatus(pid).tracer === strace.pid);
      return { times: loop.measure(loops), miscounted: 0 };
    } finally {
      strace.kill('SIGINT');
      waitUntil('strace has left', () => readStatus(pid).tracer === 0);
    }
  },
};

function besidePrograms(
  process: TargetProcess,
  loop: Loop,
  directions: Directions,
  loops: number,
  placesOf: (direction: Directions[number]) => readonly string[],
): Measured {
  const before = loop.calls;
  using object = openObject(readFileSync(OBJECT));
  for (const direction of directions) {
    const program = object.program(`on_${direction}`);
    for (const place of placesOf(direction)) program.attachTo(process, place);
  }
  const times = loop.measure(loops);
  const made = loop.calls - before;
  const wrong = directions.flatMap((direction) => {
    const counts = object.map(direction === 'enter' ? 'entered' : 'left').entries();
    return TRACED.map((call) => Math.abs(Number(counts[NUMBERS[call]]!.value) - made));
  });
  return { times, miscounted: sum(wrong) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

/** The target, as often as it is asked to measure. */
class Loop {
  readonly #control: ControlFile<(typeof WORDS)[number]>;
  readonly #target: RunningTarget;

  constructor(control: ControlFile<(typeof WORDS)[number]>, target: RunningTarget) {
    this.#control = control;
    this.#target = target;
  }

  /** Of each call, so far. */
  get calls(): number {
    return Number(this.#control.get('calls'));
  }

  /** ns a call, of the quietest of so many loops. */
  measure(loops: number): Times {
    this.#control.set('loops', BigInt(Math.ceil(loops)));
    this.#control.step('go');
    this.#control.finish(this.#target);
    const time = (call: keyof Times): number => Number(this.#control.get(call)) / 1000;
    return { getppid: time('getppid'), read: time('read'), getuid: time('getuid') };
  }
}
