/**
 * What an operation on a map costs, beside the kernel with the same program: programs do it 16 times, and what one that does
 * nothing costs is taken off. All follow each other, because the machine drifts.
 */
import { join } from 'node:path';
import { ROOT } from '../tests/support/root.ts';
import type { BenchTarget } from './bench-target.ts';
import type { Side } from './side.ts';
import { PUSH } from './workloads.ts';

/** The object both sides load. */
export const MAPS_OBJECT_PATH = join(ROOT, 'benchmarks/programs/maps.bpf.o');

/** How often a program does its operation. */
const TIMES = 16;

/** One operation, by so many threads at a time. Times in ns, of the quietest round. */
export interface MapCost {
  readonly label: string;
  readonly threads: number;
  readonly remora: number;
  /** Undefined where the kernel's side cannot be measured. */
  readonly kernel: number | undefined;
  /** The most that one thread may take. */
  readonly goalNs: number | undefined;
  /** How many times less than the kernel it must be. */
  readonly goalRatio: number;
}

/** Programs of maps.bpf.c. */
const OPERATIONS: readonly {
  readonly program: string;
  readonly label: string;
  readonly goalNs?: number;
  readonly goalRatio?: number;
}[] = [
  { program: 'array_lookup', label: 'array, lookup', goalNs: 1, goalRatio: 2 },
  { program: 'array_update', label: 'array, update' },
  { program: 'percpu_array_lookup', label: 'percpu_array, lookup', goalRatio: 2 },
  { program: 'hash_lookup', label: 'hash, lookup', goalNs: 5, goalRatio: 2 },
  { program: 'hash_miss', label: 'hash, lookup of what is not there', goalNs: 5, goalRatio: 2 },
  { program: 'hash_update', label: 'hash, update', goalNs: 12 },
  { program: 'hash_replace', label: 'hash, delete and insert' },
  { program: 'hash_delete_miss', label: 'hash, delete of what is not there' },
  { program: 'percpu_hash_lookup', label: 'percpu_hash, lookup', goalNs: 6, goalRatio: 2 },
  { program: 'percpu_hash_miss', label: 'percpu_hash, lookup of what is not there', goalNs: 6, goalRatio: 2 },
  { program: 'percpu_hash_update', label: 'percpu_hash, update' },
  { program: 'lru_hash_lookup', label: 'lru_hash, lookup', goalRatio: 2 },
  { program: 'lru_hash_update', label: 'lru_hash, update' },
  { program: 'lpm_trie_lookup', label: 'lpm_trie, lookup' },
  { program: 'bloom_filter_lookup', label: 'bloom_filter, lookup' },
  { program: 'queue_push_pop', label: 'queue, push and pop' },
  { program: 'array_of_maps_lookup', label: 'array_of_maps, lookup in a map of it' },
  { program: 'step_0', label: 'prog_array, tail call' },
];

/** @param milliseconds of one measurement */
export async function measureMaps(
  target: BenchTarget,
  sides: readonly Side[],
  { rounds, milliseconds }: { readonly rounds: number; readonly milliseconds: number },
): Promise<MapCost[]> {
  const best = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    for (const program of ['empty', ...OPERATIONS.map((one) => one.program)]) {
      for (const side of sides) {
        using _ = side.attach([{ program, at: 'entry' }], target, PUSH.symbol);
        for (const threads of [1, 2]) {
          const { min } = await target.measure(PUSH.symbol, milliseconds, threads);
          const name = nameOf(side.name, program, threads);
          best.set(name, Math.min(min, best.get(name) ?? Number.POSITIVE_INFINITY));
        }
      }
    }
  }
  const cost = (side: string, program: string, threads: number): number =>
    (best.get(nameOf(side, program, threads))! - best.get(nameOf(side, 'empty', threads))!) / TIMES;
  const hasKernel = sides.some(({ name }) => name === 'kernel');
  return OPERATIONS.flatMap(({ program, label, goalNs, goalRatio = 1 }) =>
    [1, 2].map((threads) => ({
      label,
      threads,
      remora: cost('remora', program, threads),
      kernel: hasKernel ? cost('kernel', program, threads) : undefined,
      goalNs,
      goalRatio,
    })),
  );
}

function nameOf(side: string, program: string, threads: number): string {
  return `${side} ${program} ${threads}`;
}
