import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { COMPILERS, objectFile, patchSection } from '../../tests/support/objects.ts';
import { readObject } from './read-object.ts';

const NUMBERS = { keyTypeId: 0, valueTypeId: 0 };
const MAPS = [
  { name: 'counts', type: 2, keySize: 4, valueSize: 8, maxEntries: 2, flags: 0, ...NUMBERS },
  { name: 'others', type: 1, keySize: 8, valueSize: 16, maxEntries: 100, flags: 1, ...NUMBERS },
  { name: 'alone', type: 6, keySize: 4, valueSize: 8, maxEntries: 1, flags: 0, ...NUMBERS },
];
const byName = (a: { name: string }, b: { name: string }): number => a.name.localeCompare(b.name);

for (const compiler of COMPILERS) {
  describe(`maps of before BTF, ${compiler}`, () => {
    const file = (): Uint8Array => objectFile('legacy-maps', compiler);

    it('are read, wherever they lie', () =>
      assert.deepEqual([...readObject(file()).maps].sort(byName), [...MAPS].sort(byName)));

    it('are what programs refer to', () => {
      const references = [...readObject(file()).programs[0]!.references.values()];
      assert.deepEqual(references.map((reference) => 'map' in reference && reference.map).sort(), [
        'alone',
        'counts',
        'others',
      ]);
    });

    for (const [why, section, at, bytes, message] of [
      ['no type', 'maps', 0, [0], "cannot define map 'counts': its type is missing"],
      ['what only its own loader knows', 'maps/alone', 24, [1], /'alone': byte 24 is not 0/],
    ] as const) {
      it(`are refused with ${why}`, () => {
        const changed = file();
        patchSection(changed, section, at, bytes);
        assert.throws(() => readObject(changed), { code: 'OBJECT_BAD_MAP', message });
      });
    }
  });
}
