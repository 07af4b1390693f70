/**
 * Helpers of the kernel that are not here yet, by their prototypes alone: `verify` judges programs that call them, `load`
 * refuses these by name. A row goes when its helper comes. Source: Linux kernel/bpf/helpers.c, kernel/trace/bpf_trace.c.
 */
import type { Prototype } from './prototype.ts';
import { HELPERS } from './table.ts';

/** Types of maps, Linux enum bpf_map_type. */
const PROG_ARRAY = 3;
const PERF_EVENT_ARRAY = 4;
const ITERABLE = [1, 2, 5, 6, 9, 10];

type Row = readonly [
  id: number,
  name: Prototype['name'],
  args: Prototype['args'],
  returns: Prototype['returns'],
  more?: Partial<Prototype>,
];

const ROWS: readonly Row[] = [
  [12, 'bpf_tail_call', ['context', 'map', 'scalar'], 'void', { maps: [PROG_ARRAY], leaves: true }],
  [22, 'bpf_perf_event_read', ['map', 'scalar'], 'scalar', { maps: [PERF_EVENT_ARRAY] }],
  [42, 'bpf_get_numa_node_id', [], 'scalar'],
  [105, 'bpf_strtol', ['memRead', 'memSize', 'scalar', 'wordWrite'], 'scalar'],
  [106, 'bpf_strtoul', ['memRead', 'memSize', 'scalar', 'wordWrite'], 'scalar'],
  [118, 'bpf_jiffies64', [], 'scalar'],
  [141, 'bpf_get_task_stack', ['task', 'memWrite', 'memSizeOrZero', 'scalar'], 'sizeOrError'],
  [
    164,
    'bpf_for_each_map_elem',
    ['map', 'function', 'callbackContext', 'scalar'],
    'scalar',
    {
      maps: ITERABLE,
      callback: { args: ['map', 'mapKey', 'mapValue', 'callbackContext'], returns: [0n, 1n], counted: false },
    },
  ],
  [165, 'bpf_snprintf', ['memWrite', 'memSizeOrZero', 'constantString', 'memReadOrNull', 'memSizeOrZero'], 'scalar'],
  [177, 'bpf_trace_vprintk', ['memRead', 'memSize', 'memReadOrNull', 'memSizeOrZero'], 'scalar'],
  [
    181,
    'bpf_loop',
    ['scalar', 'function', 'callbackContext', 'scalar'],
    'scalar',
    { callback: { args: ['scalar', 'callbackContext'], returns: [0n, 1n], counted: true } },
  ],
  [191, 'bpf_copy_from_user_task', ['memWrite', 'memSizeOrZero', 'any', 'task', 'scalar'], 'scalar'],
  [195, 'bpf_map_lookup_percpu_elem', ['map', 'mapKey', 'scalar'], 'mapValueOrNull', { maps: [5, 6, 10] }],
];

/** By the kernel's number: helpers that are here, and those of which only the prototype is. */
export const PROTOTYPES: ReadonlyMap<number, Prototype> = new Map<number, Prototype>([
  ...ROWS.map(([id, name, args, returns, more]) => [id, { name, args, returns, requires: [], ...more }] as const),
  ...HELPERS,
]);
