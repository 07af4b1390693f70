/**
 * What programs at system calls add to a call: one that is traced and one that is not, beside the kernel's own tracepoint, there
 * with a counter instead of a program, since the kernel would run a program for every process.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { openObject, openProcess, type TargetProcess } from '../src/index.ts';
import { ControlFile } from '../tests/support/control-file.ts';
import { KernelCounts } from '../tests/support/kernel-counts.ts';
import { ROOT } from '../tests/support/root.ts';
import { compileTarget, startTarget, waitUntil } from '../tests/support/targets.ts';
import { type Spread, spread } from './stats.ts';

/** How getppid is traced, and what that adds to it and to getuid, in ns. */
export interface SystemCallCost {
  readonly label: string;
  readonly traced: Spread;
  readonly untraced: Spread;
  /** The most it may add to a call that is traced. */
  readonly goalNs: number | undefined;
  /** Calls that were made and not counted, or counted and not made. */
  readonly miscounted: number;
}

/** Programs of tests/objects/syscalls.bpf.c and where they go; none for the kernel's counter. */
const CASES: readonly { readonly label: string; readonly places: readonly string[]; readonly goalNs?: number }[] = [
  { label: 'count at entry', places: ['tp:syscalls/sys_enter_getppid'], goalNs: 5 },
  {
    label: 'count at entry and exit',
    places: ['tp:syscalls/sys_enter_getppid', 'tp:syscalls/sys_exit_getppid'],
    goalNs: 12,
  },
  { label: 'count every call', places: ['tp:raw_syscalls/sys_enter'] },
  { label: 'count every call at entry and exit', places: ['tp:raw_syscalls/sys_enter', 'tp:raw_syscalls/sys_exit'] },
  { label: "the kernel's counter", places: [] },
];

const WORDS = ['go', 'done', 'getppid', 'getuid', 'calls'] as const;
const OBJECT = join(ROOT, 'tests/objects/clang-19/syscalls.bpf.o');
/** Measurements of each case in a round: the quietest counts. */
const TRIES = 8;

/** @param rounds in which all cases follow one another, each with a bare measurement in front */
export function measureSystemCalls(rounds: number): SystemCallCost[] {
  using control = new ControlFile(WORDS);
  using target = startTarget(compileTarget('asking'), [control.path]);
  using process = openProcess(target.pid);
  const loop = new Loop(control);
  const samples = CASES.map(() => ({ traced: [] as number[], untraced: [] as number[], miscounted: 0 }));
  const bare = { getppid: Number.POSITIVE_INFINITY, getuid: Number.POSITIVE_INFINITY };
  for (let round = 0; round < rounds; round++) {
    CASES.forEach(({ places }, n) => {
      const { getppid, getuid } = loop.measure();
      bare.getppid = Math.min(bare.getppid, getppid);
      bare.getuid = Math.min(bare.getuid, getuid);
      const { measured, miscounted } = measureTraced(process, loop, places);
      const sample = samples[n]!;
      sample.traced.push(measured.getppid);
      sample.untraced.push(measured.getuid);
      sample.miscounted += miscounted;
    });
  }
  const above = (times: readonly number[], least: number): Spread => spread(times.map((time) => time - least));
  return CASES.map(({ label, goalNs }, n) => {
    const { traced, untraced, miscounted } = samples[n]!;
    const added = { traced: above(traced, bare.getppid), untraced: above(untraced, bare.getuid) };
    return { label, ...added, goalNs, miscounted };
  });
}

function measureTraced(process: TargetProcess, loop: Loop, places: readonly string[]) {
  const before = loop.calls;
  if (places.length === 0) {
    const entered = { direction: 'enter', call: 'getppid' } as const;
    using kernel = new KernelCounts(process.pid, [entered]);
    const measured = loop.measure();
    return { measured, miscounted: Math.abs(kernel.read(entered) - (loop.calls - before)) };
  }
  using object = openObject(readFileSync(OBJECT));
  const links = places.map((place) => {
    const program = place.includes('exit') ? 'on_exit' : 'on_enter';
    return object.program(program).attachTo(process, place);
  });
  const measured = loop.measure();
  const counted = (map: string): number => Number(object.map(map).entries()[GETPPID]!.value);
  const maps = links.length > 1 ? ['entered', 'left'] : ['entered'];
  const made = loop.calls - before;
  return { measured, miscounted: maps.reduce((sum, map) => sum + Math.abs(counted(map) - made), 0) };
}

const GETPPID = 110;

/** The target, as often as it is asked to measure. */
class Loop {
  readonly #control: ControlFile<(typeof WORDS)[number]>;

  constructor(control: ControlFile<(typeof WORDS)[number]>) {
    this.#control = control;
  }

  /** Of each call, so far. */
  get calls(): number {
    return Number(this.#control.get('calls'));
  }

  /** ns a call, of the quietest try. */
  measure(): { readonly getppid: number; readonly getuid: number } {
    const tries = Array.from({ length: TRIES }, () => {
      this.#control.step('go');
      waitUntil('the loops have ended', () => this.#control.get('done') === this.#control.get('go'));
      return [this.#control.get('getppid'), this.#control.get('getuid')].map((time) => Number(time) / 1000);
    });
    const [getppid, getuid] = [0, 1].map((n) => Math.min(...tries.map((times) => times[n]!)));
    return { getppid: getppid!, getuid: getuid! };
  }
}
