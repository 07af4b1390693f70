import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emittedMap } from '../../tests/contract/emitted-map.ts';
import { arrayModel } from '../../tests/contract/map-models.ts';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { INDEXED_STORIES } from '../../tests/contract/map-stories.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { percpuArray } from './percpu-array.ts';
import { SLOTS } from './slots.ts';

describeMapType({
  type: percpuArray,

  model: arrayModel,

  shapes: [1, 4, 8, 12, 100].map((valueSize) => ({ keySize: 4, valueSize, maxEntries: 7 })),

  story: { keySize: 4, valueSize: 12, maxEntries: 3 },
  stories: [...INDEXED_STORIES, ['gives EINVAL to flags it does not know', 'set 1=1 4: EINVAL']],

  refusals: [
    ['a key that is no index', { keySize: 8 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['a value larger than the kernel has per CPU', { valueSize: 32769 }, 'MAP_BAD_SPEC'],
    ['mmap, which it has not', { flags: 0x400 }, 'MAP_BAD_SPEC'],
    ['more than a map may take', { valueSize: 32768, maxEntries: 1000 }, 'MAP_TOO_LARGE'],
  ],
});

describe('percpu_array map', () => {
  const spec = mapSpec(percpuArray, { valueSize: 8, maxEntries: 3 });
  const key = Uint8Array.of(1, 0, 0, 0);
  const value = (number: number) => Uint8Array.of(number, 0, 0, 0, 0, 0, 0, 0);

  it('keeps what each slot holds apart, up to the last', () => {
    const memory = freshMap(percpuArray, spec);
    const host = percpuArray.host(memory, spec);
    for (let slot = 0; slot < SLOTS; slot++) assert.equal(host.update(key, value(slot + 1), 0n, slot), 0);
    for (let slot = 0; slot < SLOTS; slot++) {
      assert.deepEqual(host.lookup(key, slot), value(slot + 1));
      assert.deepEqual(host.lookup(Uint8Array.of(0, 0, 0, 0), slot), value(0));
      assert.deepEqual(host.lookup(Uint8Array.of(2, 0, 0, 0), slot), value(0));
    }
    assert.throws(() => host.lookup(key, SLOTS), RangeError);
  });

  it('lets a program read and write its own slot only', () => {
    const memory = freshMap(percpuArray, spec);
    const host = percpuArray.host(memory, spec);
    const program = emittedMap(percpuArray, spec, memory, undefined, 5);
    assert.equal(program.update(key, value(9), 0n), 0);
    assert.deepEqual(
      [0, 4, 5, 6].map((slot) => host.lookup(key, slot)),
      [0, 0, 9, 0].map(value),
    );
    host.update(key, value(3), 0n, 5);
    assert.deepEqual(program.lookup(key), value(3));
  });
});
