/**
 * Slots of per-CPU maps. In the kernel a program has a CPU to itself; a thread has none. So a slot belongs to one run of a program
 * from its beginning to its end, and a thread gets the same one again as long as nobody else of it is running: what a
 * program reads, changes and writes back in its slot is its own. Slot numbers are given out from 0 on, as they are first needed.
 *
 *     | slot 0: what a map of one slot has | slot 1 | ... |     each begins at a multiple of 64
 */
import { alignUp } from '../bytes/align.ts';
import type { MapMemory } from './map-type.ts';
import { mapMemory } from './memory.ts';

/** Values for each key: as many runs there may be at a time. */
export const SLOTS = 192;

/** Bytes from one slot to the next. @param size of what a slot holds */
export function slotStride(size: number): number {
  return alignUp(size, 64);
}

/** The memory of one slot. @throws RangeError if there is no such slot */
export function slotMemory({ bytes }: MapMemory, slot: number, stride: number): MapMemory {
  if (slot < 0 || slot >= SLOTS) throw new RangeError(`there is no slot ${slot}, only 0 to ${SLOTS - 1}`);
  return mapMemory(bytes.subarray(slot * stride, (slot + 1) * stride));
}
