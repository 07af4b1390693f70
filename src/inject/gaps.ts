/** Free addresses near code. Pure: mappings in, an address out. */
import { alignDownAddress, alignUpAddress } from '../bytes/align.ts';
import type { Mapping } from '../sys/proc-maps.ts';

export const PAGE_SIZE = 4096;

/** A jump or an address counted from the instruction reaches this far; less a margin for the length of what it is in. */
const REACH = 2n ** 31n - 65536n;

/** Lowest address tried: the kernel keeps the first pages free, vm.mmap_min_addr. */
const LOWEST = 0x1_0000n;
/** End of user memory with four-level page tables. */
const HIGHEST = 0x7fff_ffff_f000n;

/** A stack grows down into free addresses: at least this much stays free below it, as the kernel itself does. */
const STACK_ROOM = 128n * 1024n * 1024n;
/** Free on both sides of what we map, so that it never becomes one with a neighbour. */
const GUARD = 4096n;

/** True if code at `from` reaches all of `size` bytes at `to`, and they reach it. */
export function isInReach(from: bigint, to: bigint, size: number): boolean {
  return absolute(to - from) <= REACH && absolute(to + BigInt(size) - from) <= REACH;
}

/**
 * Where `size` bytes are free all of which `near` reaches: the closest place below, else the farthest above, since the
 * addresses behind a program are where its heap grows.
 */
export function findGap(mappings: readonly Mapping[], near: bigint, size: number): bigint | undefined {
  const length = alignUpAddress(BigInt(size), BigInt(PAGE_SIZE));
  const lowest = maximum(LOWEST, near - REACH);
  const highest = minimum(HIGHEST, near + REACH);
  let below: bigint | undefined;
  let above: bigint | undefined;
  for (const gap of gapsBetween(mappings)) {
    const start = maximum(gap.start + GUARD, lowest);
    const end = minimum(gap.end - GUARD, highest);
    const place = alignDownAddress(end - length, BigInt(PAGE_SIZE));
    if (place < start) continue;
    if (place <= near) below = place;
    else above = place;
  }
  return below ?? above;
}

function* gapsBetween(mappings: readonly Mapping[]): Generator<{ readonly start: bigint; readonly end: bigint }> {
  let start = 0n;
  for (const mapping of mappings) {
    yield { start, end: mapping.path === '[stack]' ? mapping.start - STACK_ROOM : mapping.start };
    start = mapping.end;
  }
  yield { start, end: HIGHEST };
}

function absolute(value: bigint): bigint {
  return value < 0n ? -value : value;
}

function maximum(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

function minimum(a: bigint, b: bigint): bigint {
  return a < b ? a : b;
}
