/** Maps that outlive their object, and objects whose maps have other sizes; no process is needed for either. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import fc from 'fast-check';
import { COMPILERS, objectFile } from '../../tests/support/objects.ts';
import { BpfError } from '../errors.ts';
import { type BpfObject, openObject } from '../index.ts';

const DIRECTORIES: string[] = [];
const fresh = (): string => {
  const directory = mkdtempSync(join(tmpdir(), 'remora-pins-'));
  DIRECTORIES.push(directory);
  return directory;
};
after(() => {
  for (const directory of DIRECTORIES) rmSync(directory, { recursive: true });
});

const open = (pinDirectory: string, more = {}): BpfObject =>
  openObject(objectFile('pinned'), { pinDirectory, ...more });
const code = (expected: string) => (error: unknown) => error instanceof BpfError && error.code === expected;

/** A directory in which maps of the object were left. */
function left(): string {
  const directory = fresh();
  using object = open(directory);
  for (const key of [1, 2, 3]) object.map('calls').update(key, key * 100);
  for (const value of [7, 8, 9]) object.map('latest').update(0, value);
  object.map('totals').update(1, 5);
  object.map('forgotten').update(0, 5);
  return directory;
}

describe('pinned maps', () => {
  for (const compiler of COMPILERS) {
    it(`hold what they held: ${compiler}`, () => {
      const directory = join(fresh(), 'made as needed');
      for (let round = 1; round <= 3; round++) {
        using object = openObject(objectFile('pinned', compiler), { pinDirectory: directory });
        const calls = object.map('calls');
        assert.equal(calls.entries().length, round - 1);
        calls.update(round, round);
      }
      assert.deepEqual(readdirSync(directory).sort(), ['calls', 'latest', 'totals']);
    });
  }

  it('hold their entries, in their order, and no others', () => {
    using object = open(left());
    const entries = (name: string) => object.map(name).entries();
    assert.deepEqual(
      entries('calls')
        .map(({ key, value }) => [key, value])
        .sort(),
      [
        [1, 100],
        [2, 200],
        [3, 300],
      ],
    );
    assert.deepEqual(
      entries('latest').map(({ value }) => value),
      [9, 8, 7],
    );
    assert.deepEqual(
      entries('totals').map(({ value }) => value),
      [0, 5],
    );
    assert.deepEqual(
      entries('forgotten').map(({ value }) => value),
      [0],
    );
  });

  it('are like others where no directory is given', () => {
    using object = openObject(objectFile('pinned'));
    assert.equal(object.map('calls').spec.pinned, true);
    assert.equal(object.map('forgotten').spec.pinned, undefined);
  });

  it('belong to one object at a time', () => {
    const directory = left();
    {
      using _first = open(directory);
      assert.throws(() => open(directory), code('RUNTIME_PIN_IN_USE'));
    }
    using again = open(directory);
    assert.equal(again.map('calls').entries().length, 3);
  });

  it('are refused where they have another shape, and stay as they are', () => {
    const directory = left();
    assert.throws(
      () => open(directory, { maxEntries: new Map([['calls', 128]]) }),
      (error) =>
        code('RUNTIME_PIN_MISMATCH')(error) &&
        /pinned map calls of .*calls: its max_entries is 64, wanted 128/.test((error as Error).message),
    );
    using object = open(directory);
    assert.equal(object.map('calls').entries().length, 3);
  });

  for (const [what, spoil] of [
    ['no file of a map', (path: string) => writeFileSync(path, 'hello\n')],
    ['half an entry', (path: string) => writeFileSync(path, readFileSync(path).subarray(0, -1))],
    [
      'more entries than there may be',
      (path: string) => writeFileSync(path, Buffer.concat([readFileSync(path), Buffer.alloc(16 * 64)])),
    ],
    [
      'another version',
      (path: string) => writeFileSync(path, readFileSync(path, 'latin1').replace('map":1', 'map":2'), 'latin1'),
    ],
  ] as const) {
    it(`are refused where the file is ${what}`, () => {
      const directory = left();
      spoil(join(directory, 'calls'));
      assert.throws(() => open(directory), code('RUNTIME_PIN_MISMATCH'));
    });
  }

  it('are refused where the file is a link, or cannot be made', () => {
    const directory = fresh();
    symlinkSync(join(directory, 'elsewhere'), join(directory, 'calls'));
    assert.throws(() => open(directory), code('RUNTIME_PIN_REFUSED'));
    assert.deepEqual(readdirSync(directory), ['calls']);
    assert.throws(() => open('/dev/null'), code('RUNTIME_PIN_REFUSED'));
    assert.throws(() => open('/proc/none'), code('RUNTIME_PIN_REFUSED'));
  });

  it('give maps or a refusal, whatever the file holds', () => {
    const directory = left();
    const path = join(directory, 'calls');
    const good = readFileSync(path);
    const bytes = fc.array(fc.tuple(fc.nat(good.length - 1), fc.nat(255)), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(bytes, fc.nat(good.length), (changes, length) => {
        const spoilt = Uint8Array.from(good);
        for (const [at, byte] of changes) spoilt[at] = byte;
        writeFileSync(path, changes.length % 2 === 0 ? spoilt : spoilt.subarray(0, length));
        try {
          using object = open(directory);
          assert.ok(object.map('calls').entries().length <= 64);
        } catch (error) {
          assert.ok(code('RUNTIME_PIN_MISMATCH')(error), String(error));
        }
      }),
      { numRuns: 60 },
    );
  });
});

describe('maps of an object that is not attached yet', () => {
  it('have room for as many entries as are asked for', () => {
    using object = openObject(objectFile('pinned'), { maxEntries: new Map([['calls', 2]]) });
    const calls = object.map('calls');
    assert.equal(calls.spec.maxEntries, 2);
    assert.deepEqual(
      [1, 2, 3].map((key) => calls.update(key, 1)),
      [0, 0, -7],
    );
  });

  it('are refused a size that they cannot have, and names that no map has', () => {
    const of = (map: string, count: number) => () =>
      openObject(objectFile('pinned'), { maxEntries: new Map([[map, count]]) });
    assert.throws(of('calls', 0), code('MAP_BAD_SPEC'));
    assert.throws(of('calls', 2 ** 32 - 1), code('MAP_TOO_LARGE'));
    assert.throws(of('nothing', 1), code('RUNTIME_NO_MAP'));
  });

  it('are read in portions', () => {
    using object = openObject(objectFile('pinned'));
    const calls = object.map('calls');
    for (let key = 0; key < 50; key++) calls.update(key, key);
    const batches = [...calls.batches(16)];
    assert.deepEqual(
      batches.map(({ length }) => length),
      [16, 16, 16, 2],
    );
    assert.deepEqual(batches.flat(), calls.entries());
    assert.deepEqual([...object.map('latest').batches(4)], []);
    assert.throws(() => [...calls.batches(0)], RangeError);
  });
});
