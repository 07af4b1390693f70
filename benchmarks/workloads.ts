/** What is measured: the programs of `programs/bench.bpf.c` on the functions of `target/bench-target.c`. */
import { join } from 'node:path';
import { ROOT } from '../tests/support/root.ts';

/** The object both sides load. */
export const OBJECT_PATH = join(ROOT, 'benchmarks/programs/bench.bpf.o');

export interface Workload {
  readonly program: string;
  readonly label: string;
  /** The most it may add to a call, in ns; undefined for those that are there to compare. */
  readonly goalNs?: number;
  /** A map whose values must sum up to the calls made, for programs that count. */
  readonly counts?: string;
}

export const WORKLOADS: readonly Workload[] = [
  { program: 'empty', label: 'empty', goalNs: 3 },
  { program: 'count_array', label: 'count in an array map', goalNs: 6, counts: 'total' },
  { program: 'count_array_atomic', label: 'the same, atomic add', counts: 'total' },
  { program: 'update_hash', label: 'hash update by argument', goalNs: 15 },
  { program: 'count_hash', label: 'hash lookup, count', counts: 'by_argument' },
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
