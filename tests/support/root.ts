/** Where the package lies, wherever the build put the tests. */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Absolute path of the folder with package.json. */
export const ROOT = findRoot(import.meta.dirname);

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from;
  const up = dirname(from);
  if (up === from) throw new Error('no package.json above the tests');
  return findRoot(up);
}
