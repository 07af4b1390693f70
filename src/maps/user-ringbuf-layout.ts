/**
 * Where the parts of a ring lie that the host writes and programs drain. Positions count bytes from the beginning of time;
 * `position % size` is a place in the data. Pages, headers and flags as in Linux kernel/bpf/ringbuf.c. A sample never wraps: behind the
 * ring lies as much again, which only the last sample of a lap reaches into; the kernel maps the data twice instead.
 *
 *     0    | consumer u64 | pad to 64 | busy: thread u32, namespace u32 | pad to 128 | waiting u32 | pad
 *     4096 | producer u64 | pad
 *     8192 | sample | sample | ... | twice `size` bytes
 *     sample: | length and flags u32 | 0 u32 | bytes |      a multiple of 8 together
 */
import { alignUp } from '../bytes/align.ts';
import type { MapSpec } from './map-type.ts';
import { ringSize } from './ringbuf-layout.ts';

/** BPF_MAP_TYPE_USER_RINGBUF */
export const USER_RINGBUF = 31;

/** Byte offsets of what is there once. */
export const UserRing = { consumer: 0, busy: 64, waiting: 128, producer: 4096, data: 8192 } as const;
/** In front of a sample's bytes. */
export const SAMPLE_HEADER = 8;
/** BPF_MAX_USER_RINGBUF_SAMPLES: the most that are drained at a time. */
export const MOST_SAMPLES = 128 * 1024;
/** DYNPTR_MAX_SIZE: programs see nothing larger. */
export const MAX_SAMPLE = 0xff_ffff;
/** Thread of a drainer whose id cannot be told. */
export const UNKNOWN_THREAD = 0xffff_ffff;

/** Bytes in a lap. */
export const userRingSize: (spec: MapSpec) => number = ringSize;

/** Bytes that the map takes. */
export function userRingBytes(spec: MapSpec): number {
  return UserRing.data + 2 * userRingSize(spec);
}

/** How far a sample of `length` bytes reaches. */
export function sampleAdvance(length: number): number {
  return alignUp(length + SAMPLE_HEADER, 8);
}
