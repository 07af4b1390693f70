import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { arrayModel } from '../../tests/contract/map-models.ts';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { INDEXED_STORIES } from '../../tests/contract/map-stories.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { array, arrayValueOffset } from './array.ts';

describeMapType({
  type: array,

  model: arrayModel,

  shapes: [1, 2, 4, 8, 12, 16, 100].map((valueSize) => ({ keySize: 4, valueSize, maxEntries: 7 })),

  story: { keySize: 4, valueSize: 12, maxEntries: 3 },
  stories: [
    ...INDEXED_STORIES,
    ['gives EINVAL to flags it does not know', 'set 1=1 3: EINVAL, set 1=1 LOCK: EINVAL, set 3=1 8: EINVAL'],
  ],

  refusals: [
    ['a key that is no u32', { keySize: 8 }, 'MAP_BAD_SPEC'],
    ['key size 0', { keySize: 0 }, 'MAP_BAD_SPEC'],
    ['value size 0', { valueSize: 0 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['value size 2^31', { valueSize: 2 ** 31 }, 'MAP_BAD_SPEC'],
    ['value size 2^63', { valueSize: 2 ** 63 }, 'MAP_BAD_SPEC'],
    ['NO_PREALLOC', { flags: 1 }, 'MAP_BAD_SPEC'],
    ['a flag nobody knows', { flags: 0x8000_0000 }, 'MAP_BAD_SPEC'],
    ['read-only and write-only for programs', { flags: 0x180 }, 'MAP_BAD_SPEC'],
    ['an initial value larger than the value', { initialValue: new Uint8Array(9) }, 'MAP_BAD_SPEC'],
    ['2^32 - 1 entries', { maxEntries: 2 ** 32 - 1 }, 'MAP_TOO_LARGE'],
    ['2^31 - 1 bytes', { valueSize: 2 ** 31 - 1, maxEntries: 1 }, 'MAP_TOO_LARGE'],
  ],
});

describe('array map: data sections', () => {
  const spec = mapSpec(array, {
    valueSize: 5,
    maxEntries: 1,
    flags: 0x480,
    initialValue: Uint8Array.of(1, 2, 3, 4, 5),
  });

  it('starts with the initial value, and its variables count from the first byte', () => {
    const host = array.host(freshMap(array, spec), spec);
    assert.deepEqual(host.lookup(new Uint8Array(4)), Uint8Array.of(1, 2, 3, 4, 5));
    assert.equal(arrayValueOffset(spec, 0), 0);
  });
});

describeConcurrency(array, [['count', 64, { keySize: 4, valueSize: 8, maxEntries: 64 }]]);
