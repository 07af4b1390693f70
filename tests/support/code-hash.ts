/** What a process's code is: to show that it is what it was. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { readMaps } from '../../src/sys/proc-maps.ts';

/** sha256 of each executable mapping, by `start-end path`; the kernel's own page cannot be read and is left out. */
export function codeHashes(pid: number): Record<string, string> {
  const fd = openSync(`/proc/${pid}/mem`, 'r');
  try {
    const hashes: Record<string, string> = {};
    for (const { start, end, permissions, path } of readMaps(pid)) {
      if (permissions[2] !== 'x' || path === '[vsyscall]') continue;
      const bytes = Buffer.alloc(Number(end - start));
      readSync(fd, bytes, { position: start });
      hashes[`${start.toString(16)}-${end.toString(16)} ${path}`] = createHash('sha256').update(bytes).digest('hex');
    }
    return hashes;
  } finally {
    closeSync(fd);
  }
}
