/**
 * Helpers of the kernel that are not here yet, by their prototypes alone: `verify` judges programs that call them, `load`
 * refuses these by name. A row goes when its helper comes. Source: Linux kernel/bpf/helpers.c, kernel/trace/bpf_trace.c.
 */
import type { Prototype } from './prototype.ts';
import { HELPERS } from './table.ts';

/** `enum bpf_map_type`. */
const PERF_EVENT_ARRAY = 4;

type Row = readonly [
  id: number,
  name: Prototype['name'],
  args: Prototype['args'],
  returns: Prototype['returns'],
  more?: Partial<Prototype>,
];

const ROWS: readonly Row[] = [[22, 'bpf_perf_event_read', ['map', 'scalar'], 'scalar', { maps: [PERF_EVENT_ARRAY] }]];

/** By the kernel's number: helpers that are here, and those of which only the prototype is. */
export const PROTOTYPES: ReadonlyMap<number, Prototype> = new Map<number, Prototype>([
  ...ROWS.map(([id, name, args, returns, more]) => [id, { name, args, returns, requires: [], ...more }] as const),
  ...HELPERS,
]);
