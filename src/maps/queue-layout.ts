/**
 * Where everything of a queue or stack lies: the part that host and emitted code must agree on.
 *
 *     0     | current: link word | pad to 64 |       names the state that holds now; its tag counts the operations
 *     64    | states | elements | pad to 128 |       heads of free lists, link words
 *     128   | cell 0 | cell 1 | ...                  maxEntries link words: a ring of elements, tagged by the push that wrote them
 *     ...   | state | state | ...                    STATES of them; the first is where it begins
 *     ...   | element | element | ...                maxEntries and SPARES
 *
 *     state:    | next: link word | first, count: u32 each | cell | before | after |
 *               0                 8                        16     24       32
 *     element:  | next: link word | value, padded to 8 |  padded to 16
 *
 * The values are those of `count` cells from number `first` on, the oldest first. In addition the cell at offset `cell` is to be
 * changed from `before` to `after`, if nobody has yet.
 */
import { alignUp } from '../bytes/align.ts';
import type { MapSpec } from './map-type.ts';

/** Byte offsets in the header. */
export const Header = { current: 0, states: 64, elements: 72, size: 128 } as const;

/** Byte offsets in a state. */
export const State = { first: 8, count: 12, cell: 16, before: 24, after: 32, size: 48 } as const;

/** Byte offset in an element. */
export const VALUE = 8;

/** One for each operation under way at once, and for each that was killed since the last recovery. */
export const STATES = 1024;

/** Elements beyond maxEntries, for pushes and pops under way. */
export const SPARES = 128;

/** A `before` that no cell holds. */
export const NEVER = 1n;

/** Byte offsets of one map. */
export interface QueueLayout {
  readonly firstState: number;
  readonly lastState: number;
  readonly firstElement: number;
  readonly elementSize: number;
  readonly end: number;
}

/** The layout of a map; meaningful only if it is not larger than a map may be. */
export function queueLayout({ valueSize, maxEntries }: MapSpec): QueueLayout {
  const firstState = alignUp(Header.size + 8 * maxEntries, 64);
  const lastState = firstState + (STATES - 1) * State.size;
  const firstElement = alignUp(lastState + State.size, 64);
  const elementSize = alignUp(VALUE + valueSize, 16);
  return { firstState, lastState, firstElement, elementSize, end: firstElement + elementSize * (maxEntries + SPARES) };
}

/** The byte offset of a cell. */
export function cellOffset(index: number): number {
  return Header.size + 8 * index;
}
