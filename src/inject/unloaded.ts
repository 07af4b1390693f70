/**
 * Sites that are gone with their library: unmapped, or something else lies at their address, be it the same library loaded anew.
 * A place that holds our bytes is ours whatever is mapped there: nobody else has a jump into our code.
 */
import { isSameOrigin, originAt } from '../process/code-origin.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { isSysError } from '../sys/errors.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import type { SitePatch } from './site-patch.ts';

/** Those of `sites` that are in a library that may be unloaded, and was. @throws {ProcessError} PROCESS_EXITED */
export function unloadedSites(process: TargetProcess, sites: Iterable<SitePatch>): readonly SitePatch[] {
  const bound = [...sites].filter(({ origin }) => origin !== undefined);
  if (bound.length === 0) return [];
  const mappings = process.mappings();
  // What was changed in a mapping is lost together: one look at each that still is the file's tells of all of it.
  const looks = new Map<Mapping, boolean>();
  return bound.filter((site) => {
    const mapping = mappingAt(mappings, site.address);
    if (mapping === undefined) return true;
    if (!isSameOrigin(site.origin, originAt(mappings, site.address))) return !holds(process, site, site.wanted);
    const isNew = looks.get(mapping) ?? (!holds(process, site, site.wanted) && holds(process, site, site.original));
    looks.set(mapping, isNew);
    return isNew;
  });
}

function holds({ memory }: TargetProcess, { address }: SitePatch, bytes: Uint8Array): boolean {
  try {
    return Buffer.compare(memory.readUpTo(address, bytes.length), bytes) === 0;
  } catch (error) {
    if (isSysError(error, 'SYS_EIO')) return false;
    throw error;
  }
}
