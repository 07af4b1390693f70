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
const WORDS = ['go', 'done', ...TRACED, 'getuid', 'calls'] as const;
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
/** Measurements of each case in a round: the quietest counts. Strace is so slow that it needs few. */
const TRIES = 8;
const STRACE_TRIES = 1;
const STRACE_ROUNDS = 2;

/** @param rounds in which all cases follow one another, each with a bare measurement in front */
export function measureSystemCalls(rounds: number): SystemCallCost[] {
  using control = new ControlFile(WORDS);
  using target = startTarget(compileTarget('asking'), [control.path]);
  using process = openProcess(target.pid);
  const loop = new Loop(control, target);
  const hasStrace = spawnSync('strace', ['-V']).status === 0;
  const cases = CASES.filter(({ by }) => by !== 'strace' || hasStrace);
  const samples = cases.map(() => ({ times: [] as Times[], miscounted: 0 }));
  const bare: Times[] = [];
  for (let round = 0; round < rounds; round++) {
    cases.forEach((one, n) => {
      if (one.by === 'strace' && round >= STRACE_ROUNDS) return;
      bare.push(loop.measure(TRIES));
      const { times, miscounted } = MEASURE[one.by](process, loop, one.directions);
      samples[n]!.times.push(times);
      samples[n]!.miscounted += miscounted;
    });
  }
  return cases.map(({ label, goals = {} }, n) => {
    const { times, miscounted } = samples[n]!;
    const added = (call: keyof Times): Spread => {
      const least = Math.min(...bare.map((one) => one[call]));
      return spread(times.map((one) => one[call] - least));
    };
    return { label, getppid: added('getppid'), read: added('read'), getuid: added('getuid'), goals, miscounted };
  });
}

interface Measured {
  readonly times: Times;
  readonly miscounted: number;
}

type Measure = (process: TargetProcess, loop: Loop, directions: Directions) => Measured;

const MEASURE: Readonly<Record<Case['by'], Measure>> = {
  remora: (process, loop, directions) =>
    besidePrograms(process, loop, directions, (direction) =>
      TRACED.map((call) => `tp:syscalls/sys_${direction}_${call}`),
    ),
  'remora, every call': (process, loop, directions) =>
    besidePrograms(process, loop, directions, (direction) => [`tp:raw_syscalls/sys_${direction}`]),
  kernel({ pid }, loop, directions) {
    const counted = directions.flatMap((direction) => TRACED.map((call) => ({ direction, call })));
    using kernel = new KernelCounts(pid, counted);
    const before = loop.calls;
    const times = loop.measure(TRIES);
    const made = loop.calls - before;
    return { times, miscounted: sum(counted.map((one) => Math.abs(kernel.read(one) - made))) };
  },
  strace({ pid }, loop) {
    const strace = spawn('strace', ['-c', '-f', '-o', '/dev/null', '-p', `${pid}`], { stdio: 'ignore' });
    try {
      waitUntil('strace traces', () => readStatus(pid).tracer === strace.pid);
      return { times: loop.measure(STRACE_TRIES), miscounted: 0 };
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
  placesOf: (direction: Directions[number]) => readonly string[],
): Measured {
  const before = loop.calls;
  using object = openObject(readFileSync(OBJECT));
  for (const direction of directions) {
    const program = object.program(`on_${direction}`);
    for (const place of placesOf(direction)) program.attachTo(process, place);
  }
  const times = loop.measure(TRIES);
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

  /** ns a call, of the quietest try. */
  measure(tries: number): Times {
    const found = Array.from({ length: tries }, () => {
      this.#control.step('go');
      this.#control.finish(this.#target);
      const [getppid, read, getuid] = (['getppid', 'read', 'getuid'] as const).map(
        (call) => Number(this.#control.get(call)) / 1000,
      );
      return { getppid: getppid!, read: read!, getuid: getuid! };
    });
    const least = (call: keyof Times): number => Math.min(...found.map((times) => times[call]));
    return { getppid: least('getppid'), read: least('read'), getuid: least('getuid') };
  }
}
