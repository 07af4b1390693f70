/**
 * Helpers of the kernel that are not here yet, by their prototypes alone: `verify` judges programs that call them, `load`
 * refuses these by name. A row goes when its helper comes. Source: Linux kernel/bpf/helpers.c, kernel/trace/bpf_trace.c.
 */
import type { Prototype } from './prototype.ts';
import { HELPERS } from './table.ts';

/** Types of maps, Linux enum bpf_map_type. */
const PERF_EVENT_ARRAY = 4;
const USER_RINGBUF = 31;

type Row = readonly [
  id: number,
  name: Prototype['name'],
  args: Prototype['args'],
  returns: Prototype['returns'],
  more?: Partial<Prototype>,
];

/** Memory whose size and place only the running program knows. */
const DYNPTR_ROWS: readonly Row[] = [
  [
    209,
    'bpf_user_ringbuf_drain',
    ['map', 'function', 'callbackContext', 'scalar'],
    'scalar',
    {
      maps: [USER_RINGBUF],
      callback: { args: ['dynptr', 'callbackContext'], returns: [0n, 1n], counted: false },
    },
  ],
];

const ROWS: readonly Row[] = [
  ...DYNPTR_ROWS,
  [22, 'bpf_perf_event_read', ['map', 'scalar'], 'scalar', { maps: [PERF_EVENT_ARRAY] }],
];

/** By the kernel's number: helpers that are here, and those of which only the prototype is. */
export const PROTOTYPES: ReadonlyMap<number, Prototype> = new Map<number, Prototype>([
  ...ROWS.map(([id, name, args, returns, more]) => [id, { name, args, returns, requires: [], ...more }] as const),
  ...HELPERS,
]);
