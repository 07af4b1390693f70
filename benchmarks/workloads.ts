/** What is measured: the programs of `programs/bench.bpf.c` on the functions of `target/bench-target.c`. */
import { join } from 'node:path';
import { ROOT } from '../tests/support/root.ts';

/** The object both sides load. */
export const OBJECT_PATH = join(ROOT, 'benchmarks/programs/bench.bpf.o');

/** How many different first arguments the target passes. */
const ARGUMENTS = 64;

export interface Workload {
  readonly program: string;
  readonly label: string;
  /** The most it may add to a call, in ns; undefined for those that are there to compare. */
  readonly goalNs?: number;
  /** What the values of a map must sum up to after so many calls. */
  readonly leaves?: { readonly map: string; readonly sum: (calls: number) => number };
}

export const WORKLOADS: readonly Workload[] = [
  { program: 'empty', label: 'empty', goalNs: 3 },
  {
    program: 'count_array',
    label: 'count in an array map',
    goalNs: 6,
    leaves: { map: 'total', sum: (calls) => calls },
  },
  { program: 'count_array_atomic', label: 'the same, atomic add', leaves: { map: 'total', sum: (calls) => calls } },
  {
    program: 'update_hash',
    label: 'hash update by argument',
    goalNs: 15,
    leaves: { map: 'by_argument', sum: () => ARGUMENTS },
  },
  { program: 'count_hash', label: 'hash lookup, count', leaves: { map: 'by_argument', sum: (calls) => calls } },
];

export interface ProbedFunction {
  readonly symbol: string;
  /** How it begins. */
  readonly label: string;
  /** How many times less than the kernel every program must add here; undefined if there is no goal. */
  readonly goalRatio?: number;
}

export const FUNCTIONS: readonly ProbedFunction[] = [
  { symbol: 'work_push', label: 'push', goalRatio: 60 },
  { symbol: 'work_nop', label: '5-byte nop' },
  { symbol: 'work_endbr', label: 'endbr64' },
];
