/** The faults that docs/faults.md says are tested are tested, and the ones that are tested stand there. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { ROOT } from '../support/root.ts';

/** What issue 3 asks for. */
const WANTED = [
  ...Array.from({ length: 18 }, (_, n) => `A${n + 1}`),
  ...['B4', 'B6', 'C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C8', 'C9', 'C10', 'C11', 'J4'],
];

/** Names that begin with a fault's id: 'A4: goes on there'. */
const NAMES = /['"`]([A-L]\d+): /g;

/** `id file` of every row: '| A4 | ... | parked.test.ts, zoo.test.ts |'. */
export function rowsOf(text: string): string[] {
  return [...text.matchAll(/^\| ([A-L]\d+) \|.*\| ([^|]+) \|$/gm)].flatMap(([, id, files]) =>
    files!.split(', ').map((file) => `${id} ${file}`),
  );
}

function tested(): string[] {
  const files = ['faults', 'e2e'].flatMap((folder) => {
    const path = join(ROOT, 'tests', folder);
    return readdirSync(path).map((file) => join(path, file));
  });
  const found = files.flatMap((file) =>
    [...readFileSync(file, 'utf8').matchAll(NAMES)].map(([, id]) => `${id} ${basename(file)}`),
  );
  return [...new Set(found)];
}

describe('docs/faults.md', () => {
  const rows = rowsOf(readFileSync(join(ROOT, 'docs/faults.md'), 'utf8'));

  it('names the tests there are, and no others', () => {
    const found = tested();
    assert.deepEqual(
      {
        'to be added to docs/faults.md': found.filter((row) => !rows.includes(row)),
        'without a test': rows.filter((row) => !found.includes(row)),
      },
      { 'to be added to docs/faults.md': [], 'without a test': [] },
    );
  });

  it('has every fault that was asked for', () => {
    const ids = new Set(rows.map((row) => row.split(' ')[0]));
    assert.deepEqual(
      WANTED.filter((id) => !ids.has(id)),
      [],
    );
  });
});
