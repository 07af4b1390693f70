/** Where a library lies when no process is named that maps it: the loader's usual folders. */
import { readdirSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { ProcessError } from './errors.ts';
import { withoutVersion } from './find-module.ts';

/** Of Debian, Fedora and Arch. Source: ld.so(8), and /etc/ld.so.conf.d of these. */
export const LIBRARY_FOLDERS = [
  '/lib/x86_64-linux-gnu',
  '/usr/lib/x86_64-linux-gnu',
  '/lib64',
  '/usr/lib64',
  '/lib',
  '/usr/lib',
];

/**
 * @param name 'libc.so.6', 'libc.so' or 'libc'
 * @throws {ProcessError} PROCESS_MODULE_NOT_FOUND
 */
export function findInstalledLibrary(name: string): string {
  // What has no version is there for linkers, and may be a script of theirs.
  for (const wanted of [(file: string) => file === name && isVersioned(file), (file: string) => isOneOf(file, name)]) {
    for (const folder of LIBRARY_FOLDERS) {
      const file = filesIn(folder).find(wanted);
      if (file !== undefined) return realpathSync(join(folder, file));
    }
  }
  throw new ProcessError(
    'PROCESS_MODULE_NOT_FOUND',
    `cannot find '${name}': ${LIBRARY_FOLDERS.join(', ')} have no such library`,
    {
      fix: 'name a file by its path, or a process that uses it: -p PID',
    },
  );
}

function isOneOf(file: string, name: string): boolean {
  return isVersioned(file) && withoutVersion(file) === withoutVersion(name);
}

function isVersioned(file: string): boolean {
  return /(?:\.so\.|-[\d.]+\.so$)/.test(file);
}

function filesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder).sort();
  } catch {
    return [];
  }
}
