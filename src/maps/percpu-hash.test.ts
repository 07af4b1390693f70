import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emittedMap } from '../../tests/contract/emitted-map.ts';
import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { hashModel } from '../../tests/contract/map-models.ts';
import { freshMap, keyBytes, mapSpec, valueBytes } from '../../tests/contract/map-operations.ts';
import { EVICTING_STORIES, FILLING_STORIES } from '../../tests/contract/map-stories.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { lruPercpuHash, percpuHash } from './percpu-hash.ts';
import { SLOTS } from './slots.ts';

describeMapType({
  type: percpuHash,

  model: hashModel,

  shapes: [
    [4, 8],
    [8, 1],
    [20, 12],
  ].flatMap(([keySize, valueSize]) =>
    [1, 5].map((maxEntries) => ({ keySize: keySize!, valueSize: valueSize!, maxEntries })),
  ),

  story: { keySize: 4, valueSize: 12, maxEntries: 2 },
  stories: FILLING_STORIES,

  refusals: [
    ['key size 0', { keySize: 0 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['a value larger than the kernel has per CPU', { valueSize: 32769 }, 'MAP_BAD_SPEC'],
    ['mmap, which it has not', { flags: 0x400 }, 'MAP_BAD_SPEC'],
    ['more than a map may take', { maxEntries: 1_000_000 }, 'MAP_TOO_LARGE'],
  ],
});

describeMapType({
  type: lruPercpuHash,
  model: () => hashModel({}),
  shapes: [
    [4, 8],
    [20, 12],
  ].map(([keySize, valueSize]) => ({ keySize: keySize!, valueSize: valueSize!, maxEntries: 10 })),
  story: { keySize: 4, valueSize: 8, maxEntries: 2 },
  stories: EVICTING_STORIES,
  refusals: [
    ['NO_PREALLOC', { flags: 1 }, 'MAP_BAD_SPEC'],
    ['key size 0', { keySize: 0 }, 'MAP_BAD_SPEC'],
    ['a value larger than the kernel has per CPU', { valueSize: 32769 }, 'MAP_BAD_SPEC'],
    ['more than a map may take', { maxEntries: 1_000_000 }, 'MAP_TOO_LARGE'],
  ],
});

describe('percpu_hash map: slots', () => {
  const spec = mapSpec(percpuHash, { keySize: 8, valueSize: 12, maxEntries: 1 });
  const [first, second] = [1, 2].map((key) => keyBytes(spec, key)) as [Uint8Array, Uint8Array];
  const nothing = new Uint8Array(12);

  it('are apart, up to the last, and a program has its own', () => {
    const memory = freshMap(percpuHash, spec);
    const host = percpuHash.host(memory, spec);
    for (let slot = 0; slot < SLOTS; slot++) assert.equal(host.update(first, valueBytes(spec, slot), 0n, slot), 0);
    const program = emittedMap(percpuHash, spec, memory, undefined, 5);
    assert.equal(program.update(first, valueBytes(spec, 9), 0n), 0);
    for (let slot = 0; slot < SLOTS; slot++) {
      assert.deepEqual(host.lookup(first, slot), valueBytes(spec, slot === 5 ? 9 : slot));
    }
    assert.deepEqual(program.lookup(first), valueBytes(spec, 9));
    assert.equal(percpuHash.usedSlots!(memory, spec), SLOTS);
    assert.throws(() => host.lookup(first, SLOTS), RangeError);
  });

  it('of a new key are zeros but the one that was written, whatever the element held before', () => {
    const memory = freshMap(percpuHash, spec);
    const host = percpuHash.host(memory, spec);
    const program = emittedMap(percpuHash, spec, memory, undefined, 5);
    for (let slot = 0; slot < SLOTS; slot++) host.update(first, valueBytes(spec, 77), 0n, slot);
    assert.equal(host.delete(first), 0);
    assert.equal(program.update(second, valueBytes(spec, 1), 1n), 0);
    for (let slot = 0; slot < SLOTS; slot++) {
      assert.deepEqual(host.lookup(second, slot), slot === 5 ? valueBytes(spec, 1) : nothing);
    }
    assert.equal(percpuHash.usedSlots!(memory, spec), 6);
  });
});

describeConcurrency(percpuHash, [['own', 256, { keySize: 8, valueSize: 8, maxEntries: 300 }]]);
