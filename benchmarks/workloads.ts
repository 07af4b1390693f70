/** What is measured: the programs of `programs/bench.bpf.c` on the functions of `target/bench-target.c`. */
import { join } from 'node:path';
import { ROOT } from '../tests/support/root.ts';

/** The object both sides load. */
export const OBJECT_PATH = join(ROOT, 'benchmarks/programs/bench.bpf.o');

/** How many different first arguments the target passes. */
const ARGUMENTS = 64;

/** A program, and at which end of the function it runs; 'override' may run in the function's place. */
export interface BenchProbe {
  readonly program: string;
  readonly at: 'entry' | 'return' | 'override';
}

export interface ProbedFunction {
  readonly symbol: string;
  /** How it begins. */
  readonly label: string;
}

/** The one that goals are for. */
export const PUSH: ProbedFunction = { symbol: 'work_push', label: 'push' };

export const FUNCTIONS: readonly ProbedFunction[] = [
  PUSH,
  { symbol: 'work_nop', label: '5-byte nop' },
  { symbol: 'work_endbr', label: 'endbr64' },
];

export interface Workload {
  readonly label: string;
  readonly probes: readonly BenchProbe[];
  readonly functions: readonly ProbedFunction[];
  /** By how many threads the function is called at a time, each is measured. */
  readonly threads: readonly number[];
  /** The most it may add to a call by one thread, in ns; undefined for those that are there to compare. */
  readonly goalNs?: number;
  /** How many times less than the kernel it must add to a call of `push`. */
  readonly goalRatio?: number;
  /** What the values of a map must sum up to after so many calls. */
  readonly leaves?: { readonly map: string; readonly sum: (calls: number) => number };
}

const entry = (program: string): readonly BenchProbe[] => [{ program, at: 'entry' }];
const every = (map: string) => ({ map, sum: (calls: number) => calls });

const AT_ENTRY = { functions: FUNCTIONS, threads: [1], goalRatio: 60 } as const;
const ON_PUSH = { functions: [PUSH], threads: [1, 2] } as const;

export const WORKLOADS: readonly Workload[] = [
  { ...AT_ENTRY, probes: entry('empty'), label: 'empty', goalNs: 3 },
  { ...AT_ENTRY, probes: entry('count_array'), label: 'count in an array map', goalNs: 6, leaves: every('total') },
  { ...AT_ENTRY, probes: entry('count_array_atomic'), label: 'the same, atomic add', leaves: every('total') },
  {
    ...AT_ENTRY,
    probes: entry('update_hash'),
    label: 'hash update by argument',
    goalNs: 15,
    leaves: { map: 'by_argument', sum: () => ARGUMENTS },
  },
  { ...AT_ENTRY, probes: entry('count_hash'), label: 'hash lookup, count', leaves: every('by_argument') },
  { ...ON_PUSH, probes: [{ program: 'empty', at: 'return' }], label: 'return, empty' },
  {
    ...ON_PUSH,
    probes: [
      { program: 'empty', at: 'entry' },
      { program: 'empty', at: 'return' },
    ],
    label: 'entry and return, empty',
    goalNs: 4,
    goalRatio: 100,
  },
  {
    ...ON_PUSH,
    probes: [
      { program: 'begin_latency', at: 'entry' },
      { program: 'end_latency', at: 'return' },
    ],
    label: 'entry and return, latency histogram',
    goalNs: 40,
    leaves: every('latencies'),
  },
  { ...ON_PUSH, probes: [{ program: 'override_taken', at: 'override' }], label: 'override, taken', goalNs: 1 },
  { ...ON_PUSH, probes: [{ program: 'override_not_taken', at: 'override' }], label: 'override, not taken' },
];

/** How many times as often two threads must get a call done as one. */
export const GOAL_SCALING = 1.9;
