import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { MapSpec } from '../maps/map-type.ts';
import { ringbuf } from '../maps/ringbuf.ts';
import { stackTrace } from '../maps/stack-trace.ts';
import { sizeMaps } from './map-sizes.ts';

const NOTHING = { name: 'm', type: 1, keySize: 4, valueSize: 8, maxEntries: 0, flags: 0, keyTypeId: 0, valueTypeId: 0 };
const map = (numbers: Partial<MapSpec>): MapSpec => ({ ...NOTHING, ...numbers });

describe('the sizes of maps', () => {
  for (const [what, spec, asked, wanted, usual] of [
    ['what the object says', map({ maxEntries: 7 }), undefined, [8, 7], []],
    ['what is asked for', map({ maxEntries: 7 }), 9, [8, 9], []],
    ['nothing for a hash that says nothing', map({}), undefined, [8, 0], []],
    [
      'as deep traces as the kernel has',
      map({ type: 7, valueSize: 0, maxEntries: 5 }),
      undefined,
      [1016, 5],
      ['value_size'],
    ],
    ['as many traces as are asked for', map({ type: 7, valueSize: 64 }), 3, [64, 3], []],
    ['no traces where none are asked for', map({ type: 7, valueSize: 64 }), 0, [64, 0], []],
    ['a ring that says nothing', map({ type: 27, keySize: 0, valueSize: 0 }), undefined, [0, 262144], ['max_entries']],
  ] as const) {
    it(`are ${what}`, () => {
      const sized = sizeMaps([spec], asked === undefined ? undefined : new Map([['m', asked]]));
      assert.deepEqual(
        sized.maps.map(({ valueSize, maxEntries }) => [valueSize, maxEntries]),
        [wanted],
      );
      assert.deepEqual(
        sized.usual.map(({ field }) => field),
        usual,
      );
    });
  }

  it('that are usual are taken by the map types', () => {
    for (const type of [stackTrace, ringbuf]) {
      const keySize = type === stackTrace ? 4 : 0;
      const { maps } = sizeMaps([map({ type: type.id, keySize, valueSize: 0 })]);
      type.check(maps[0]!);
    }
  });

  it('are asked for by names that there are', () => {
    assert.throws(() => sizeMaps([map({})], new Map([['n', 1]])), {
      code: 'RUNTIME_NO_MAP',
      message: 'cannot set max_entries of map n: the object has m',
    });
  });
});
