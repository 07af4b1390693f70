/**
 * Where the parts of a ring of records lie. Positions count bytes from the beginning of time; `position % size` is a place in
 * the data. A record takes a tag and its bytes, together a multiple of 8, as in Linux kernel/bpf/ringbuf.c; it begins where the
 * one before it ends, and never wraps: behind the ring lies as much again, which only the last record of a lap reaches into.
 *
 *     0    | producer u64 | pad to 64 | consumer u64 | pad to 128 | dropped u64 | pad to 192 | waiting u32 | pad | heads u64 |
 *     256  | data: record | record | ... | twice `size` bytes
 *     data + 2 * size   | head for bytes 0 to 15 | head for 16 to 31 | ...
 *     record: | tag u64 | bytes |             tag: the address of the map; of a perf event array the number of the CPU
 *     head:   | length and flags u32 | thread u32 | position + 1 u64 |
 *
 * Records are at least 16 bytes apart, so each has a head of its own; it says of which position it speaks.
 */
import { alignUp } from '../bytes/align.ts';
import type { MapSpec } from './map-type.ts';

/** Byte offsets in the header. */
export const RingHeader = { producer: 0, consumer: 64, dropped: 128, waiting: 192, heads: 200, size: 256 } as const;
/** Byte offsets in a head. */
export const RingHead = { length: 0, thread: 4, position: 8, size: 16 } as const;
/** The flags of a head, those of the kernel's record header. */
export const BUSY = 0x8000_0000;
export const DISCARDED = 0x4000_0000;
/** The rest of that word. */
export const LENGTH = 0x3fff_ffff;
/** What lies in front of a record's bytes. */
export const TAG_SIZE = 8;

const PAGE = 4096;
/** BPF_MAP_TYPE_PERF_EVENT_ARRAY */
export const PERF_EVENT_ARRAY = 4;
/** BPF_MAP_TYPE_RINGBUF */
export const RINGBUF = 27;
/** Bytes of the one ring that a perf event array is here. */
const PERF_RING_SIZE = 1024 * 1024;

/** Offsets in the map's memory. */
export interface RingLayout {
  /** Bytes of data in a lap: a power of two. */
  readonly size: number;
  readonly data: number;
  readonly heads: number;
  readonly end: number;
}

/** Where everything lies in a map of this spec. */
export function ringLayout(spec: MapSpec): RingLayout {
  const size = ringSize(spec);
  const heads = RingHeader.size + 2 * size;
  return { size, data: RingHeader.size, heads, end: heads + size };
}

/** Bytes in a lap: libbpf makes `max_entries` a power of two of whole pages before the kernel sees it. */
export function ringSize({ type, maxEntries }: MapSpec): number {
  if (type === PERF_EVENT_ARRAY) return PERF_RING_SIZE;
  return 2 ** Math.ceil(Math.log2(Math.max(maxEntries, PAGE)));
}

/** How far a record of `length` bytes reaches. */
export function recordAdvance(length: number): number {
  return alignUp(Math.max(length, 1) + TAG_SIZE, 8);
}

/** The longest record there may be. A ring is never quite full, as in the kernel. */
export function longestRecord(size: number): number {
  return size - 8 - TAG_SIZE;
}
