/**
 * Where everything of a session lies in the memory it shares with its target, behind the journal.
 *
 *     | handler table | state | printk ring | hit counters (pages) | missed | exec gate | BTF | tasks |
 *     | common: process counter, thread slots, maps |
 *
 * What is common is the same memory in all processes that an object is loaded into.
 */
import { alignUp } from '../bytes/align.ts';
import { PRINTK_RING_SIZE } from '../helpers/printk-ring.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { ObjectSpec } from '../object/spec.ts';
import { EXEC_GATE_SIZE } from './exec-gate.ts';
import { HandlerTable } from './handlers.ts';
import { hitCountersSize } from './hit-counters.ts';
import { THREAD_SLOTS_SIZE } from './thread-slots.ts';

/** Links one session may hold at a time. */
export const MAX_LINKS = 16_384;
/** Room for what links are attached to: a path and a symbol each, as a rule the same few. */
const PLACE_TEXT = 128 * MAX_LINKS;

const PAGE = 4096;
const LINE = 64;

/** A range of the shared memory, in bytes from its start. */
export interface Range {
  readonly offset: number;
  readonly size: number;
}

export interface SessionLayout {
  readonly slots: number;
  readonly table: Range;
  /** A u64 that bpf_get_prandom_u32 steps. */
  readonly randomState: Range;
  readonly printkRing: Range;
  readonly hits: Range;
  /** A u64 for each link: how often its program should have run and did not. */
  readonly missed: Range;
  /** Images of task_struct; empty if no program asks for one. */
  readonly tasks: Range;
  /** Where threads wait that replace their program. */
  readonly execGate: Range;
  /** For whoever looks at the maps when the object is not at hand. */
  readonly btf: Range;
  /** Whole pages, to the end: what follows. */
  readonly common: Range;
  /** A u64 that counts the processes. */
  readonly processCounter: Range;
  /** Who has which slot of per-CPU maps; empty if there are none. */
  readonly threadSlots: Range;
  /** By map name. */
  readonly maps: ReadonlyMap<string, Range>;
  /** Whole pages. */
  readonly size: number;
}

/**
 * Plans the memory of a session of this object.
 *
 * @param taskAreaSize what images of task_struct take: 0 if no program asks for one
 * @throws {MapError} MAP_UNKNOWN_TYPE
 */
export function layoutOf({ programs, maps, btfBytes }: ObjectSpec, taskAreaSize: number): SessionLayout {
  let end = 0;
  const take = (size: number, alignment: number): Range => {
    const offset = alignUp(end, alignment);
    end = offset + size;
    return { offset, size };
  };
  // Each link has a perf event beside it.
  const slots = programs.length + maps.length + 2 * MAX_LINKS;
  const texts = [...programs.flatMap(({ name, section }) => [name, section]), ...maps.map(({ name }) => name)];
  const table = take(HandlerTable.size(slots, texts) + PLACE_TEXT, LINE);
  const randomState = take(8, LINE);
  const printkRing = take(PRINTK_RING_SIZE, LINE);
  const hits = take(hitCountersSize(MAX_LINKS), PAGE);
  const missed = take(8 * MAX_LINKS, LINE);
  const execGate = take(EXEC_GATE_SIZE, LINE);
  const btf = take(btfBytes?.length ?? 0, LINE);
  const tasks = take(taskAreaSize, PAGE);
  const processCounter = take(8, PAGE);
  const needsSlots = taskAreaSize > 0 || maps.some((map) => mapTypeOf(map).slots !== undefined);
  const threadSlots = take(needsSlots ? THREAD_SLOTS_SIZE : 0, PAGE);
  const places = maps.map((spec) => [spec.name, take(mapTypeOf(spec).size(spec), LINE)] as const);
  return {
    slots,
    table,
    randomState,
    printkRing,
    hits,
    missed,
    execGate,
    btf,
    tasks,
    common: { offset: processCounter.offset, size: alignUp(end, PAGE) - processCounter.offset },
    processCounter,
    threadSlots,
    maps: new Map(places),
    size: alignUp(end, PAGE),
  };
}
