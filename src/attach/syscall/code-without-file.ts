/** Executable memory that no file tells about: code made at run time. Nothing is attached there: nobody knows what leads where in it. */
import { findJournals } from '../../inject/found-journal.ts';
import type { Injection } from '../../inject/injection.ts';

/** A range of addresses. */
export interface CodeRegion {
  readonly start: bigint;
  readonly end: bigint;
}

/** The target's own; not what remora has laid. @throws {ProcessError} PROCESS_EXITED */
export function codeWithoutFile({ process }: Injection): readonly CodeRegion[] {
  const mappings = process.mappings();
  const regions = mappings.filter(
    ({ permissions, inode, path }) =>
      permissions[2] === 'x' && inode === 0n && path !== '[vdso]' && path !== '[vsyscall]',
  );
  if (regions.length === 0) return [];
  const ours = findJournals(mappings, process.memory).flatMap((journal) =>
    'regions' in journal ? [journal.whole, ...journal.regions] : [],
  );
  return regions.filter(
    ({ start, end }) => !ours.some(({ address, size }) => start < address + BigInt(size) && address < end),
  );
}
