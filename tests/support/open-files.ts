/** What a process has open. */
import { readdirSync, readlinkSync } from 'node:fs';

/** Where its descriptors lead; those that are closed meanwhile are left out. */
export function openFiles(pid: number): readonly string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  });
}

/** Those that are memory files. */
export function openMemoryFiles(pid: number): readonly string[] {
  return openFiles(pid).filter((path) => path.startsWith('/memfd:'));
}
