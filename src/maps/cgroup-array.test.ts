import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSpec } from '../../tests/contract/map-operations.ts';
import { cgroupArray } from './cgroup-array.ts';
import { MapError } from './errors.ts';
import { Errno } from './map-type.ts';
import { mapMemory } from './memory.ts';

const SPEC = mapSpec(cgroupArray, { keySize: 4, valueSize: 4, maxEntries: 2 });

describe('cgroup_array', () => {
  it('takes keys and values of four bytes only', () => {
    cgroupArray.check(SPEC);
    for (const numbers of [{ keySize: 8 }, { valueSize: 8 }, { maxEntries: 0 }]) {
      assert.throws(() => cgroupArray.check({ ...SPEC, ...numbers }), MapError);
    }
  });

  it('stays empty', () => {
    const host = cgroupArray.host(mapMemory(new Uint8Array(cgroupArray.size(SPEC))), SPEC);
    const key = new Uint8Array(4);
    assert.equal(host.update(key, new Uint8Array(4), 0n), -Errno.EOPNOTSUPP);
    assert.deepEqual([host.lookup(key), [...host.entries()], host.delete(key)], [undefined, [], -Errno.ENOENT]);
  });
});
