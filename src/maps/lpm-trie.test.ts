import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { emittedMap } from '../../tests/contract/emitted-map.ts';
import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { describeInterruption } from '../../tests/contract/map-interruption.contract.ts';
import { hashModel } from '../../tests/contract/map-models.ts';
import { freshMap, hostMap, type ModelMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { toHex } from '../bytes/hex.ts';
import { viewOf } from '../bytes/struct.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { lpmTrie } from './lpm-trie.ts';
import { Errno, type HostMap, type MapSpec, type MapType } from './map-type.ts';

/** A list that is gone through from its longest prefix. */
function trieModel({ keySize, maxEntries }: MapSpec): ModelMap {
  const longest = 8 * (keySize - 4);
  const lengthOf = (key: Uint8Array) => viewOf(key).getUint32(0, true);
  const bits = (key: Uint8Array, length: number) =>
    [...key.subarray(4)]
      .map((byte) => byte.toString(2).padStart(8, '0'))
      .join('')
      .slice(0, length);
  let list: { key: Uint8Array; bits: string; value: Uint8Array }[] = [];
  const exact = (key: Uint8Array) => list.find((one) => one.bits === bits(key, lengthOf(key)));
  return {
    lookup(key) {
      const length = lengthOf(key);
      if (length > longest) return undefined;
      return list
        .toSorted((a, b) => b.bits.length - a.bits.length)
        .find((one) => one.bits.length <= length && bits(key, length).startsWith(one.bits))?.value;
    },
    update(key, value, flags) {
      const found = exact(key);
      if (flags > 2n || lengthOf(key) > longest) return -Errno.EINVAL;
      if (found !== undefined && flags === 1n) return -Errno.EEXIST;
      if (found === undefined && flags === 2n) return -Errno.ENOENT;
      if (found === undefined && list.length === maxEntries) return -Errno.ENOSPC;
      list = list.filter((one) => one !== found);
      list.push({ key: cut(key), bits: bits(key, lengthOf(key)), value });
      return 0;
    },
    delete(key) {
      const found = exact(key);
      if (lengthOf(key) > longest) return -Errno.EINVAL;
      list = list.filter((one) => one !== found);
      return found === undefined ? -Errno.ENOENT : 0;
    },
    entries: () => list.map(({ key, value }) => [key, value] as const),
  };
}

/** Without the bits behind the prefix. */
function cut(key: Uint8Array): Uint8Array {
  const length = viewOf(key).getUint32(0, true);
  return key.map((byte, at) => (at < 4 ? byte : byte & (0xff00 >> Math.min(8, Math.max(0, length - 8 * (at - 4))))));
}

describeMapType({
  type: {
    ...lpmTrie,
    // The kernel makes none without that flag.
    check: (spec) => lpmTrie.check({ ...spec, flags: spec.flags ^ 1 }),
  },
  model: trieModel,
  shapes: [5, 6, 8, 12, 20, 36, 68, 101].flatMap((keySize) =>
    [1, 8, 12].map((valueSize) => ({ keySize, valueSize, maxEntries: 4 })),
  ),
  story: { keySize: 5, valueSize: 8, maxEntries: 2 },
  stories: [
    ['begins empty', 'get 0: nothing, delete 0: ENOENT'],
    ['finds what was written', 'set 5=7, get 5: 7, set 5=8, get 5: 8'],
    ['finds the longest prefix that is not longer than the key', 'set 0=1, set 3=2, get 2: 1, get 3: 2, get 8: 2'],
    ['finds what is left when the longest is gone', 'set 0=1, set 3=2, delete 3, get 8: 1, delete 0, get 8: nothing'],
    ['gives EEXIST to NOEXIST on a prefix it has', 'set 5=7 NOEXIST, set 5=8 NOEXIST: EEXIST, get 5: 7'],
    ['gives ENOENT to EXIST on a prefix it has not', 'set 5=7 EXIST: ENOENT, get 5: nothing, set 5=7, set 5=8 EXIST'],
    ['gives EINVAL to flags it does not know', 'set 1=1 3: EINVAL, set 1=1 LOCK: EINVAL'],
    ['gives EINVAL to prefixes that are too long', 'set 9=1: EINVAL, delete 9: EINVAL, get 9: nothing'],
    ['gives ENOSPC to one prefix too many', 'set 1=1, set 2=2, set 3=3: ENOSPC, set 2=4, delete 1, set 3=3, get 8: 3'],
    ['forgets what was deleted', 'set 5=7, delete 5, get 5: nothing, delete 5: ENOENT'],
  ],
  refusals: [
    ['no data', { keySize: 4 }, 'MAP_BAD_SPEC'],
    ['more than 256 bytes of data', { keySize: 261 }, 'MAP_BAD_SPEC'],
    ['preallocation', { keySize: 8, flags: 1 }, 'MAP_BAD_SPEC'],
    ['value size 0', { keySize: 8, valueSize: 0 }, 'MAP_BAD_SPEC'],
    ['no entries', { keySize: 8, maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['map_extra', { keySize: 8, extra: 1n }, 'MAP_BAD_SPEC'],
  ],
});

describe('lpm_trie map: prefixes', () => {
  /** Bytes of few kinds, so that prefixes meet. */
  const byte = fc.constantFrom(0x00, 0x80, 0xc0, 0xff, 0x01, 0x0a);

  for (const dataSize of [1, 2, 4, 7, 8, 11, 16, 33, 64, 256]) {
    const numbers = { keySize: 4 + dataSize, valueSize: 8, maxEntries: 12, flags: 1 };
    const key = fc
      .tuple(fc.integer({ min: 0, max: 8 * dataSize }), fc.array(byte, { minLength: dataSize, maxLength: dataSize }))
      .map(([length, data]) => Uint8Array.from([length & 0xff, length >> 8, 0, 0, ...data]));
    const step = fc.record({
      side: fc.constantFrom('host' as const, 'emitted' as const),
      name: fc.constantFrom('update' as const, 'update' as const, 'lookup' as const, 'delete' as const),
      key,
    });

    it(`of ${dataSize} bytes are found as in a list, whichever side looks`, () => {
      const steps = fc.array(step, { minLength: 4, maxLength: 24 });
      fc.assert(
        fc.property(steps, key, (all, last) => {
          const spec = mapSpec(lpmTrie, numbers);
          const memory = freshMap(lpmTrie, spec);
          const sides = { host: hostMap(lpmTrie, memory, spec), emitted: emittedMap(lpmTrie, spec, memory) };
          const model = trieModel(spec);
          const value = (index: number) => new Uint8Array(BigUint64Array.of(BigInt(index)).buffer);
          all.forEach(({ side, name, key }, index) => {
            const act = (map: Omit<HostMap, 'entries'>) =>
              name === 'update' ? map.update(key, value(index), 0n) : map[name](key);
            assert.deepEqual(act(sides[side]), act(model), `${side} ${name} ${toHex(key)}`);
          });
          const whole = Uint8Array.from(last).fill(0, 0, 4);
          viewOf(whole).setUint32(0, 8 * dataSize, true);
          for (const map of Object.values(sides)) assert.deepEqual(map.lookup(whole), model.lookup(whole));
          const listed = (map: ModelMap) => [...map.entries()].map(([key]) => toHex(key)).sort();
          assert.deepEqual(listed(sides.host), listed(model));
          lpmTrie.recover(memory, spec);
          assert.deepEqual(sides.emitted.lookup(whole), model.lookup(whole), 'after recovery');
          assert.deepEqual(listed(sides.host), listed(model));
        }),
        { numRuns: dataSize > 16 ? 15 : 60 },
      );
    });
  }

  it('tells whose key it found', () => {
    const spec = mapSpec(lpmTrie, { keySize: 8, flags: 1 });
    const host = lpmTrie.host(freshMap(lpmTrie, spec), spec);
    host.update(Uint8Array.of(8, 0, 0, 0, 10, 1, 2, 3), new Uint8Array(8), 0n);
    assert.deepEqual(host.matching!(Uint8Array.of(32, 0, 0, 0, 10, 9, 9, 9)), Uint8Array.of(8, 0, 0, 0, 10, 0, 0, 0));
    assert.equal(host.matching!(Uint8Array.of(32, 0, 0, 0, 11, 9, 9, 9)), undefined);
  });
});

/** A trie whose keys are whole: a map like others, so that it can be held to what is asked of these. */
const whole: MapType = {
  ...lpmTrie,
  init: (memory, spec) => lpmTrie.init(memory, wide(spec)),
  size: (spec) => lpmTrie.size(wide(spec)),
  check: (spec) => lpmTrie.check(wide(spec)),
  recover: (memory, spec) => lpmTrie.recover(memory, wide(spec)),
  host(memory, spec) {
    const host = lpmTrie.host(memory, wide(spec));
    const long = (key: Uint8Array) => Uint8Array.from([8 * spec.keySize, 0, 0, 0, ...key]);
    return {
      lookup: (key) => host.lookup(long(key)),
      update: (key, value, flags) => asHash(host.update(long(key), value, flags)),
      delete: (key) => host.delete(long(key)),
      *entries() {
        for (const [key, value] of host.entries()) yield [key.slice(4), value];
      },
    };
  },
  emitLookup: (b, spec, context, key) => lpmTrie.emitLookup(b, wide(spec), context, longKey(b, spec, key)),
  emitUpdate(b, spec, context, key, value, flags) {
    const result = lpmTrie.emitUpdate(b, wide(spec), context, longKey(b, spec, key), value, flags);
    const [full, wanted] = [-Errno.ENOSPC, -Errno.E2BIG].map((errno) => BigInt.asUintN(64, BigInt(errno)));
    return b.select(b.compare('eq', result, full!), wanted!, result);
  },
  emitDelete: (b, spec, context, key) => lpmTrie.emitDelete(b, wide(spec), context, longKey(b, spec, key)),
};

function wide(spec: MapSpec): MapSpec {
  return { ...spec, keySize: 4 + spec.keySize, flags: 1 };
}

function longKey(b: Builder, { keySize }: MapSpec, key: Value): Value {
  const long = b.stack(4 + keySize);
  b.store(4, long, 0, 8 * keySize);
  b.copy(long, 4, key, 0, keySize);
  return long;
}

function asHash(result: number): number {
  return result === -Errno.ENOSPC ? -Errno.E2BIG : result;
}

const small = { keySize: 4, valueSize: 8 };
const large = { keySize: 16, valueSize: 24 };
describeInterruption(whole, hashModel, [{ ...small, maxEntries: 5 }]);
describeConcurrency(whole, [
  ['count', 64, { ...small, maxEntries: 64 }],
  ['tickets', 3, { ...small, maxEntries: 2 }],
  ['tickets', 64, { ...large, maxEntries: 40 }],
  ['own', 256, { ...small, maxEntries: 300 }],
  ['kill', 64, { ...large, maxEntries: 1500 }],
]);
