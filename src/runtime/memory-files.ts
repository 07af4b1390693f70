/** Which processes have the memory of a session: its target, and children that were forked from it. */
import { readdirSync } from 'node:fs';
import { SysError } from '../sys/errors.ts';
import { readProcText } from '../sys/proc.ts';
import { parseMaps } from '../sys/proc-maps.ts';

const MEMORY_FILE = '/memfd:remora';
const NONE: ReadonlySet<string> = new Set();

/** Names the memory of a session by its file, and by where that lies in its target: here it lies elsewhere. */
export function memoryName(inode: bigint, address: bigint): string {
  return `${inode} at ${address.toString(16)}`;
}

/** The names of all that a process has; none if it is gone, or may not be looked at. */
export function memoriesOf(pid: number): ReadonlySet<string> {
  try {
    const text = readProcText(`/proc/${pid}/maps`);
    // Of nearly every process that is all there is to know.
    if (!text.includes(MEMORY_FILE)) return NONE;
    const maps = parseMaps(text).filter(({ path }) => path === MEMORY_FILE);
    return new Set(maps.map(({ inode, start }) => memoryName(inode, start)));
  } catch (error) {
    if (error instanceof SysError) return NONE;
    throw error;
  }
}

/** Of all processes those that have one of these, and which. */
export function processesThatHave(names: ReadonlySet<string>): ReadonlyMap<number, string> {
  const found = new Map<number, string>();
  if (names.size === 0) return found;
  for (const file of readdirSync('/proc')) {
    if (!/^\d+$/.test(file)) continue;
    const name = [...memoriesOf(Number(file))].find((one) => names.has(one));
    if (name !== undefined) found.set(Number(file), name);
  }
  return found;
}
