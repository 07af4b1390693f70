/**
 * Where the call stub may lie: the zeros between the end of a code segment and the end of its last page.
 * Only private mappings of files: writing there gives the target a page of its own, and no other process sees it.
 */
import { isSysError } from '../sys/errors.ts';
import type { Mapping } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { STUB_CAPACITY, type StubPlace, stubSize } from './call-stub.ts';
import { ProcessError } from './errors.ts';
import type { AddressRange } from './stack-scan.ts';

/** Zeros wanted in front of the stub: fewer might be the end of the code's own data. */
const DISTANCE = 64;

/**
 * A place for a stub: the first that has the room wanted, else the first that has the least.
 *
 * @param lasts says of an address whether its module stays: another thread may unload a library while one makes our calls in it
 * @throws {ProcessError} PROCESS_NO_ROOM
 */
export function findStubPlace(
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  lasts: (address: bigint) => boolean,
): StubPlace {
  const ends = placeEnds(mappings).map((end) => ({ end, zeros: zerosBefore(end, memory) - DISTANCE }));
  for (const capacity of [STUB_CAPACITY.WANTED, STUB_CAPACITY.LEAST]) {
    const found = ends.find(({ end, zeros }) => zeros >= capacity && lasts(end - 1n));
    if (found !== undefined) return { end: found.end, capacity };
  }
  throw new ProcessError(
    'PROCESS_NO_ROOM',
    `cannot have the process make system calls: no code segment that stays ends with ${DISTANCE + STUB_CAPACITY.LEAST} zeros`,
  );
}

/** True if a place that was found holds nothing yet. */
export function isFree({ end, capacity }: StubPlace, memory: ProcessMemory): boolean {
  return zerosBefore(end, memory) >= capacity + DISTANCE;
}

/** Stubs left by controllers that were killed. */
export function findStaleStubs(mappings: readonly Mapping[], memory: ProcessMemory): readonly AddressRange[] {
  return placeEnds(mappings).flatMap((end) => {
    const bytes = readBefore(end, STUB_CAPACITY.WANTED, memory);
    const size = bytes === undefined ? undefined : stubSize(bytes);
    return size === undefined ? [] : [{ start: end - BigInt(size), end }];
  });
}

/** How many zeros stand in front of `end`, as far as it matters. */
function zerosBefore(end: bigint, memory: ProcessMemory): number {
  const size = DISTANCE + STUB_CAPACITY.WANTED;
  const bytes = readBefore(end, size, memory);
  return bytes === undefined ? 0 : size - 1 - bytes.findLastIndex((byte) => byte !== 0);
}

/** undefined if it was unloaded since. */
function readBefore(end: bigint, size: number, memory: ProcessMemory): Uint8Array | undefined {
  try {
    return memory.read(end - BigInt(size), size);
  } catch (error) {
    if (isSysError(error, 'SYS_EIO')) return undefined;
    throw error;
  }
}

/** Files first: the kernel's own page is wanted by every process. */
function placeEnds(mappings: readonly Mapping[]): readonly bigint[] {
  const code = mappings.filter(({ permissions }) => permissions === 'r-xp');
  const isFile = ({ path }: Mapping): boolean => path.startsWith('/');
  return [...code.filter(isFile), ...code.filter(({ path }) => path === '[vdso]')].map(({ end }) => end);
}
