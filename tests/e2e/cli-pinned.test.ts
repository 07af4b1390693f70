/** `--pin-maps` and `--max-entries`: what maps hold goes on from one command to the next, and they are as large as is asked for. */
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { jsonLines, remora } from '../support/cli.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectPath } from '../support/objects.ts';

interface Line {
  readonly type: string;
  readonly name?: string;
  readonly entries?: readonly { readonly key: number; readonly value: number }[];
  readonly data?: { readonly links: readonly { readonly hits: number }[] };
}

const directory = mkdtempSync(join(tmpdir(), 'remora-pinned-'));
after(() => rmSync(directory, { recursive: true }));

const OBJECT = objectPath('pinned');
const COUNTED = ['--attach', 'on_call=uprobe:libc.so.6:malloc', OBJECT, '--', 'ls', '/'];

/** Runs a program, and tells what the maps hold at its end. */
async function run(...options: string[]) {
  const { code, stdout, stderr } = await remora([
    'run',
    '--json',
    ...options,
    '-o',
    join(directory, 'out'),
    ...COUNTED,
  ]);
  assert.equal(code, 0, stderr);
  assert.ok(stdout.length > 0);
  const lines = jsonLines(readFileSync(join(directory, 'out'), 'utf8')) as Line[];
  const values = (name: string) =>
    lines.find((line) => line.type === 'map' && line.name === name)!.entries!.map(({ value }) => value);
  const hits = lines.find(({ type }) => type === 'stats')!.data!.links[0]!.hits;
  return { values, hits };
}

const sum = (values: readonly number[]): number => values.reduce((total, one) => total + one, 0);

describe('maps of commands', { skip: CANNOT_TRACE }, () => {
  it('go on with what the command before has left', async () => {
    const pins = ['--pin-maps', join(directory, 'maps')];
    const first = await run(...pins);
    assert.ok(first.hits > 0);
    assert.equal(sum(first.values('calls')), first.hits);
    const second = await run(...pins);
    assert.equal(sum(second.values('calls')), first.hits + second.hits);
    assert.deepEqual(second.values('totals'), [first.hits + second.hits, 0]);
    assert.deepEqual(second.values('forgotten'), [second.hits]);

    const other = await remora(['run', ...pins, '--max-entries', 'calls=8', ...COUNTED]);
    assert.equal(other.code, 2);
    assert.match(other.stderr, /cannot go on with pinned map calls .*max_entries is 64, wanted 8/);
  });

  it('have as many entries as are asked for', async () => {
    const { values } = await run('--max-entries', 'calls=1', '--max-entries', 'latest=2');
    assert.deepEqual([values('calls').length, values('latest').length], [1, 2]);
  });

  it('are named rightly, and written by somebody', async () => {
    for (const [options, code, message] of [
      [['--max-entries', 'nothing=1'], 4, /cannot set max_entries of map nothing: the object has calls/],
      [['--max-entries', 'calls'], 2, /MAP=N/],
      [['--pin', '--pin-maps', directory], 2, /cannot be used with/],
    ] as const) {
      const result = await remora(['load', '-p', String(process.pid), ...options, OBJECT]);
      assert.equal(result.code, code, result.stderr);
      assert.match(result.stderr, message);
    }
  });
});
