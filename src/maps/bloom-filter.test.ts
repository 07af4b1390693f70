import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { emitMapProgram } from '../../tests/contract/emitted-map.ts';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { bloomFilter } from './bloom-filter.ts';
import { MapError } from './errors.ts';
import { Errno, type MapSpec } from './map-type.ts';
import { MapFlag } from './spec-check.ts';

const NUMBERS = { keySize: 0, maxEntries: 100, flags: MapFlag.ZERO_SEED };
const MAP = 0x7f00_0000_0000n;
const VALUE = 0x1000n;
const SIDES = ['host', 'emitted'] as const;
const { keyless } = bloomFilter;

/** A filter as the host and as programs use it. */
function filter(spec: MapSpec) {
  const memory = freshMap(bloomFilter, spec);
  const host = bloomFilter.host(memory, spec);
  const push = emitMapProgram(MAP, 0, 2, (b, context, [value, flags]) =>
    keyless!.emitPush(b, spec, context, value!, flags!),
  );
  const peek = emitMapProgram(MAP, 0, 1, (b, context, [value]) => keyless!.emitPeek(b, spec, context, value!));
  // Nothing is mapped behind the value: emitted code that reads past it fails.
  const run = (fn: typeof push, args: bigint[], value: Uint8Array): number => {
    const world = regions({ address: MAP, bytes: memory.bytes }, { address: VALUE, bytes: value });
    return Number(BigInt.asIntN(64, evaluate(fn, { args, memory: world })));
  };
  return {
    memory,
    host: {
      push: (value: Uint8Array, flags = 0n) => host.update(new Uint8Array(0), value, flags),
      has: (value: Uint8Array) => host.has!(value),
    },
    emitted: {
      push: (value: Uint8Array, flags = 0n) => run(push, [VALUE, flags], value),
      has(value: Uint8Array): boolean {
        const result = run(peek, [VALUE], value);
        assert.ok(result === 0 || result === -Errno.ENOENT);
        return result === 0;
      },
    },
  };
}

const number = (value: number, size = 8): Uint8Array => {
  const bytes = new Uint8Array(Math.max(size, 4));
  new DataView(bytes.buffer).setUint32(0, value, true);
  return bytes.slice(0, size);
};

describe('bloom_filter', () => {
  for (const [why, numbers] of [
    ['a key', { keySize: 4 }],
    ['no value', { valueSize: 0 }],
    ['no entries', { maxEntries: 0 }],
    ['flags of other types', { flags: MapFlag.NO_PREALLOC }],
    ['more in map_extra than a number of hashes', { extra: 16n }],
    ['a value of more than 4 MB', { valueSize: 4 * 1024 * 1024 + 1 }],
  ] as const) {
    it(`refuses ${why}`, () => {
      assert.throws(() => bloomFilter.check(mapSpec(bloomFilter, { ...NUMBERS, ...numbers })), MapError);
    });
  }

  for (const [maxEntries, extra, bytes] of [
    [1, undefined, 64 + 64],
    [1000, undefined, 64 + 1024],
    [1000, 10n, 64 + 2048],
    [1000, 1n, 64 + 256],
    [2 ** 32 - 1, 15n, 64 + 2 ** 29],
  ] as const) {
    it(`has as many bits as the kernel for ${maxEntries} entries and map_extra ${extra ?? 0n}`, () => {
      const spec = mapSpec(bloomFilter, { ...NUMBERS, maxEntries, ...(extra && { extra }) });
      bloomFilter.check(spec);
      assert.equal(bloomFilter.size(spec), bytes);
    });
  }

  for (const valueSize of [1, 3, 4, 8, 12, 100]) {
    for (const extra of [1n, 5n, 15n]) {
      it(`finds what either side added: values of ${valueSize} bytes, ${extra} hashes`, () => {
        const spec = mapSpec(bloomFilter, { ...NUMBERS, valueSize, extra });
        const value = fc.uint8Array({ minLength: valueSize, maxLength: valueSize });
        fc.assert(
          fc.property(fc.array(fc.tuple(fc.constantFrom(...SIDES), value), { maxLength: 12 }), value, (all, other) => {
            const map = filter(spec);
            for (const [side, one] of all) assert.equal(map[side].push(one), 0);
            for (const [, one] of all) for (const side of SIDES) assert.ok(map[side].has(one));
            assert.equal(map.host.has(other), map.emitted.has(other));
          }),
          { numRuns: 15 },
        );
      });
    }
  }

  for (const side of SIDES) {
    it(`gives what the kernel gives: the ${side} side`, () => {
      const map = filter(mapSpec(bloomFilter, NUMBERS))[side];
      assert.equal(map.has(number(1)), false);
      for (const flags of [1n, 2n, 4n, 1n << 40n]) assert.equal(map.push(number(1), flags), -Errno.EINVAL);
      assert.equal(map.has(number(1)), false);
      assert.equal(map.push(number(1)), 0);
      assert.equal(map.push(number(1)), 0);
      assert.equal(map.has(number(1)), true);
    });
  }

  it('is wrong as seldom as its size promises', () => {
    const { host } = filter(mapSpec(bloomFilter, { ...NUMBERS, maxEntries: 1000 }));
    for (let value = 0; value < 1000; value++) host.push(number(value));
    let wrong = 0;
    for (let value = 1000; value < 11_000; value++) if (host.has(number(value))) wrong++;
    // (1 - e^(-5 * 1000 / 8192))^5 of them: 2 percent.
    assert.ok(wrong > 100 && wrong < 300, `${wrong} of 10000`);
  });

  it('has nothing to list, to delete or to take', () => {
    const spec = mapSpec(bloomFilter, NUMBERS);
    const host = bloomFilter.host(freshMap(bloomFilter, spec), spec);
    assert.deepEqual([...host.entries()], []);
    assert.equal(host.delete(new Uint8Array(0)), -Errno.EOPNOTSUPP);
    assert.equal(host.lookup(new Uint8Array(0)), undefined);
    assert.equal(host.pop, undefined);
  });
});
