/** Helpers on maps that only some types have, as the interpreter runs them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSpec } from '../../tests/contract/map-operations.ts';
import { mapLookupElem, mapUpdateElem } from '../helpers/map-elem.ts';
import { mapPeekElem, mapPushElem } from '../helpers/map-keyless.ts';
import { taskStorageDelete, taskStorageGet } from '../helpers/task-storage.ts';
import { bloomFilter } from '../maps/bloom-filter.ts';
import { lpmTrie } from '../maps/lpm-trie.ts';
import { taskStorage } from '../maps/task-storage.ts';
import { InterpreterWorld } from './world.ts';

const DATA = 0x1000n;
const ENOENT = BigInt.asUintN(64, -2n);
const EINVAL = BigInt.asUintN(64, -22n);

/** A world with one map, its handle, and memory of the program at DATA. */
function worldOf(...[type, numbers]: Parameters<typeof mapSpec>) {
  const spec = mapSpec(type, numbers);
  const world = new InterpreterWorld([spec]);
  const data = new Uint8Array(64);
  world.memory.map(DATA, data);
  return { world, data, map: world.resolve({ kind: 'map', map: spec.name }) };
}

describe('interpreted helpers', () => {
  it('keep a value for the thread', () => {
    const { world, data, map } = worldOf(taskStorage, { keySize: 4, maxEntries: 0, flags: 1 });
    const get = (value: bigint, flags: bigint, task = 1n) => taskStorageGet.run(world, [map, task, value, flags]);
    const drop = (task = 1n) => taskStorageDelete.run(world, [map, task]);
    data.fill(7);
    assert.deepEqual([get(0n, 0n), get(0n, 2n), get(0n, 1n, 0n), drop(0n), drop()], [0n, 0n, 0n, EINVAL, ENOENT]);
    const address = get(DATA, 1n);
    assert.deepEqual([...world.memory.view(address, 8)], [7, 7, 7, 7, 7, 7, 7, 7]);
    world.memory.view(address, 1)[0] = 1;
    assert.equal(get(0n, 1n), address);
    assert.equal(world.map('m').lookup(new Uint8Array([0xe9, 3, 0, 0]))![0], 1, 'of thread 1001');
    assert.equal(drop(), 0n);
    assert.equal(get(0n, 0n), 0n);
  });

  it('write to the entry that the longest prefix found', () => {
    const { world, data, map } = worldOf(lpmTrie, { keySize: 8, flags: 1 });
    data.set([8, 0, 0, 0, 10, 0, 0, 0]);
    assert.equal(mapUpdateElem.run(world, [map, DATA, DATA + 16n, 0n]), 0n);
    data.set([32, 0, 0, 0, 10, 1, 2, 3]);
    const address = mapLookupElem.run(world, [map, DATA]);
    world.memory.view(address, 1)[0] = 9;
    assert.equal(world.map('m').lookup(data.slice(0, 8))![0], 9);
    data[4] = 11;
    assert.equal(mapLookupElem.run(world, [map, DATA]), 0n);
  });

  it('ask a set for a value, which stays as it is', () => {
    const { world, data, map } = worldOf(bloomFilter, { keySize: 0 });
    data.fill(7);
    assert.equal(mapPeekElem.run(world, [map, DATA]), ENOENT);
    assert.equal(mapPushElem.run(world, [map, DATA, 1n]), EINVAL);
    assert.equal(mapPushElem.run(world, [map, DATA, 0n]), 0n);
    assert.equal(mapPeekElem.run(world, [map, DATA]), 0n);
    assert.ok(data.every((byte) => byte === 7));
  });
});
