/**
 * Where everything of a stack_trace map lies: the part that host and emitted code must agree on.
 *
 *     0     | free list: link word | pad to 64 |
 *     64    | bucket 0 | bucket 1 | ...              a power of two of link words (hash-layout.ts); a trace's number is its bucket's
 *     ...   | element | element | ...                as many as buckets, and SPARES
 *
 *     element:  | next: link word | hash, count: u32 each | address 0 | address 1 | ... |  padded to 16
 *               0                 8                       16
 */
import { alignUp } from '../bytes/align.ts';
import type { MapSpec } from './map-type.ts';

/** Byte offsets in the header. */
export const Header = { free: 0, size: 64 } as const;

/** Byte offsets in an element. */
export const Element = { hash: 8, count: 12, addresses: 16 } as const;

/** Elements beyond the buckets: one for each trace that is being taken at once. */
export const SPARES = 128;

/** Byte offsets and counts of one map. */
export interface StackTraceLayout {
  readonly bucketCount: number;
  /** How many addresses a trace has at most. */
  readonly depth: number;
  readonly firstElement: number;
  readonly elementSize: number;
  readonly end: number;
}

/** The layout of a map; meaningful only if it is not larger than a map may be. */
export function stackTraceLayout({ valueSize, maxEntries }: MapSpec): StackTraceLayout {
  const bucketCount = 2 ** Math.ceil(Math.log2(maxEntries));
  const firstElement = alignUp(Header.size + 8 * bucketCount, 64);
  const elementSize = alignUp(Element.addresses + valueSize, 16);
  const end = firstElement + elementSize * (bucketCount + SPARES);
  return { bucketCount, depth: valueSize / 8, firstElement, elementSize, end };
}

/** The byte offset of the bucket of a trace. */
export function bucketOffset(id: number): number {
  return Header.size + 8 * id;
}
