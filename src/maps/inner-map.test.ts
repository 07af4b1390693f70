import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSpec } from '../../tests/contract/map-operations.ts';
import { array } from './array.ts';
import { arrayOfMaps, progArray } from './fd-array.ts';
import { hash } from './hash.ts';
import { hashOfMaps } from './hash-of-maps.ts';
import { whyNoInnerMap } from './inner-map.ts';
import type { MapSpec } from './map-type.ts';
import { percpuArray } from './percpu-array.ts';
import { ringbuf } from './ringbuf.ts';
import { MapFlag } from './spec-check.ts';

const ARRAY = mapSpec(array, {});
const HASH = mapSpec(hash, {});
const RING = mapSpec(ringbuf, { keySize: 0, valueSize: 0, maxEntries: 4096 });

describe('a map of maps', () => {
  for (const [what, map, template, why] of [
    ['an array', ARRAY, ARRAY, undefined],
    ['an array of another name', { ...ARRAY, name: 'other' }, ARRAY, undefined],
    ['a longer array', { ...ARRAY, maxEntries: 5 }, ARRAY, 'it has 5 entries, wanted 4'],
    [
      'a shorter per-CPU array',
      mapSpec(percpuArray, { maxEntries: 3 }),
      mapSpec(percpuArray, {}),
      'it has 3 entries, wanted 4',
    ],
    ['a larger hash', { ...HASH, maxEntries: 1000 }, HASH, undefined],
    ['a larger ring', { ...RING, maxEntries: 8192 }, RING, undefined],
    ['a map of another type', HASH, ARRAY, 'its type is 1, wanted 2'],
    ['keys of another size', { ...HASH, keySize: 8 }, HASH, 'its keySize is 8, wanted 4'],
    ['values of another size', { ...ARRAY, valueSize: 16 }, ARRAY, 'its valueSize is 16, wanted 8'],
    ['other flags', { ...HASH, flags: MapFlag.NO_PREALLOC }, HASH, 'its flags is 1, wanted 0'],
    ['a map of programs', mapSpec(progArray, {}), mapSpec(progArray, {}), 'its values are maps or programs themselves'],
    ['a map of maps', mapSpec(arrayOfMaps, {}), mapSpec(arrayOfMaps, {}), 'its values are maps or programs themselves'],
    ['a hash of maps', mapSpec(hashOfMaps, {}), mapSpec(hashOfMaps, {}), 'its values are maps or programs themselves'],
  ] as const satisfies readonly (readonly [string, MapSpec, MapSpec, string | undefined])[]) {
    it(`${why === undefined ? 'takes' : 'refuses'} ${what}`, () => assert.equal(whyNoInnerMap(map, template), why));
  }
});
