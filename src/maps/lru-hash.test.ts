import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { emittedMap } from '../../tests/contract/emitted-map.ts';
import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { Hammer } from '../../tests/contract/map-hammer.ts';
import { describeInterruption } from '../../tests/contract/map-interruption.contract.ts';
import { hashModel } from '../../tests/contract/map-models.ts';
import {
  freshMap,
  hostMap,
  keyBytes,
  listing,
  mapSpec,
  type ProgramMap,
  valueBytes,
} from '../../tests/contract/map-operations.ts';
import { EVICTING_STORIES } from '../../tests/contract/map-stories.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { lruHash } from './lru-hash.ts';
import type { HostMap, MapSpec } from './map-type.ts';

const small = { keySize: 8, valueSize: 8 };
const large = { keySize: 20, valueSize: 24 };

describeMapType({
  type: lruHash,
  model: () => hashModel({}),
  shapes: [
    [1, 1],
    [4, 8],
    [8, 8],
    [16, 16],
    [20, 12],
    [67, 70],
  ].map(([keySize, valueSize]) => ({ keySize: keySize!, valueSize: valueSize!, maxEntries: 10 })),
  story: { keySize: 4, valueSize: 8, maxEntries: 2 },
  stories: EVICTING_STORIES,
  refusals: [
    ['NO_PREALLOC', { flags: 1 }, 'MAP_BAD_SPEC'],
    ['key size 0', { keySize: 0 }, 'MAP_BAD_SPEC'],
    ['no entries', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['2^32 - 1 entries', { maxEntries: 2 ** 32 - 1 }, 'MAP_TOO_LARGE'],
  ],
});

describe('lru_hash map: eviction', () => {
  for (const shape of [small, large]) {
    const spec = mapSpec(lruHash, { ...shape, maxEntries: 100 });
    for (const side of ['host', 'emitted'] as const) {
      it(`by the ${side} side spares what programs looked at: value ${shape.valueSize}`, () => {
        const memory = freshMap(lruHash, spec);
        const program = emittedMap(lruHash, spec, memory);
        const map: ProgramMap = side === 'host' ? hostMap(lruHash, memory, spec) : program;
        const set = (key: number) => assert.equal(map.update(keyBytes(spec, key), valueBytes(spec, key), 0n), 0);
        for (let key = 0; key < 100; key++) set(key);
        for (let key = 0; key < 100; key += 2) assert.ok(program.lookup(keyBytes(spec, key)));
        for (let key = 100; key < 150; key++) set(key);
        for (let key = 0; key < 150; key++) {
          const expected = key % 2 === 0 || key >= 100 ? valueBytes(spec, key) : undefined;
          assert.deepEqual(map.lookup(keyBytes(spec, key)), expected, `key ${key}`);
        }
      });
    }

    it(`stopped at every instruction leaves each key once and all the room: value ${shape.valueSize}`, () => {
      for (const end of ['goes on', 'is killed'] as const) {
        for (let instruction = 0; evictInterrupted(mapSpec(lruHash, { ...shape, maxEntries: 3 }), instruction, end); ) {
          instruction++;
        }
      }
    });
  }

  it('among many threads leaves each key once, whole values, and all the room', async () => {
    using hammer = new Hammer();
    for (const shape of [small, large]) {
      const spec = mapSpec(lruHash, { ...shape, maxEntries: 20 });
      using map = hammer.map(lruHash, spec);
      const report = await map.hammer('tickets', { processes: 2, threads: 4, milliseconds: 250, keys: 64 });
      assert.ok(report.operations![0]! > 10_000n, 'they got to work');
      const host = lruHash.host(map.memory, spec);
      const found = [...host.entries()].map(([key, value]) => {
        const words = new BigUint64Array(value.slice().buffer);
        assert.ok(
          words.every((word) => word === words[0]),
          'a torn value',
        );
        assert.equal(words[0]! % 64n, BigInt(key[0]!), 'a value of another key');
        return key[0]!;
      });
      assert.equal(new Set(found).size, found.length, 'a key is there twice');
      overflow(spec, host);
    }
  });
});

class Killed extends Error {}

/** An update that has to evict is stopped at an instruction while others work. @returns false if it has no such instruction */
function evictInterrupted(spec: MapSpec, instruction: number, end: 'goes on' | 'is killed'): boolean {
  const memory = freshMap(lruHash, spec);
  const host = lruHash.host(memory, spec);
  const others = emittedMap(lruHash, spec, memory);
  const set = (map: ProgramMap, key: number) => map.update(keyBytes(spec, key), valueBytes(spec, key), 0n);
  for (const key of [1, 2, 3]) assert.equal(set(host, key), 0);
  let count = 0;
  const meanwhile = () => {
    for (const key of [1, 4]) assert.equal(set(others, key), 0);
    others.delete(keyBytes(spec, 3));
    assert.equal(set(others, 5), 0);
  };
  const stopped = emittedMap(lruHash, spec, memory, () => {
    if (count++ !== instruction) return;
    if (end === 'is killed') throw new Killed();
    meanwhile();
  });
  try {
    assert.equal(set(stopped, 9), 0);
  } catch (error) {
    if (!(error instanceof Killed)) throw error;
    meanwhile();
    assert.notEqual(others.lookup(keyBytes(spec, 5)), undefined);
    lruHash.recover(memory, spec);
  }
  const keys = [...host.entries()].map(([key, value]) => {
    assert.deepEqual(value, valueBytes(spec, key[0]!));
    return key[0]!;
  });
  assert.equal(new Set(keys).size, keys.length, `a key is there twice: instruction ${instruction}`);
  overflow(spec, host);
  return count > instruction;
}

/** Adds new keys: each finds room, and the map then holds as many as it should. */
function overflow(spec: MapSpec, host: HostMap): void {
  for (let number = 0; number < 3 * spec.maxEntries; number++) {
    assert.equal(host.update(keyBytes(spec, 100 + number), valueBytes(spec, 0), 0n), 0);
  }
  assert.equal(listing(host).length, spec.maxEntries);
}

describeInterruption(lruHash, () => hashModel({}), [{ ...small, maxEntries: 5 }]);
describeConcurrency(lruHash, [
  ['count', 48, { ...small, maxEntries: 64 }],
  ['own', 256, { ...small, maxEntries: 300 }],
  ['own', 256, { ...large, maxEntries: 300 }],
]);
