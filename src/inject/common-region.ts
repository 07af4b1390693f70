/**
 * Memory of the target that all sessions of a process use together: where return addresses are kept. Each of them has it noted in its
 * journal, and whoever goes last unmaps it. Found, noted and unmapped under the lock of the process.
 */
import { viewOf } from '../bytes/struct.ts';
import type { AddressRange } from '../process/stack-scan.ts';
import type { TargetProcess } from '../process/target-process.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { FoundJournal, type FoundRegion, findJournals } from './found-journal.ts';
import { RegionKind } from './journal.ts';
import type { Region } from './regions.ts';

/** A session that uses a common region. */
interface Sharer {
  readonly region: FoundRegion;
  /** False if whoever made it was killed before it was anything. */
  readonly isSigned: boolean;
  readonly code: readonly AddressRange[];
}

/** The sessions of a process that keep return addresses, but for the one whose journal is at `own`. */
export function otherSharers(process: TargetProcess, own: bigint): readonly Sharer[] {
  const mappings = process.mappings();
  const { memory } = process;
  return findJournals(mappings, memory).flatMap((journal) => {
    if (!(journal instanceof FoundJournal) || journal.address === own) return [];
    const kept = journal.regions.filter((region) => region.kind === RegionKind.RETURNS);
    return kept
      .filter((region) => journal.holds(region, mappings))
      .map((region) => ({ region, isSigned: isSigned(memory, region), code: journal.codeRegions(mappings) }));
  });
}

function isSigned(memory: ProcessMemory, { address, signature }: FoundRegion): boolean {
  return viewOf(memory.read(address, 8)).getBigUint64(0, true) === signature;
}

/** Those of `regions` that no other session uses. */
export function withoutShared<R extends Region>(regions: readonly R[], others: readonly Sharer[]): readonly R[] {
  return regions.filter(({ address }) => !others.some(({ region }) => region.address === address));
}
