import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { Builder } from '../ir/builder.ts';
import { MapError, type MapErrorCode } from './errors.ts';
import { emitFdArrayNumber, progArray } from './fd-array.ts';
import { Errno, type MapSpec } from './map-type.ts';
import { MapFlag } from './spec-check.ts';

const SPEC = mapSpec(progArray, { keySize: 4, valueSize: 4, maxEntries: 4 });
const MAP = 0x7f00_0000_0000n;

const word = (number: number): Uint8Array => new Uint8Array(Uint32Array.of(number).buffer);

describe('a map of programs', () => {
  for (const [why, numbers, code] of [
    ['a key of eight bytes', { keySize: 8 }, 'MAP_BAD_SPEC'],
    ['a value of eight bytes', { valueSize: 8 }, 'MAP_BAD_SPEC'],
    ['no places', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['BPF_F_NO_PREALLOC', { flags: MapFlag.NO_PREALLOC }, 'MAP_BAD_SPEC'],
    ['BPF_F_RDONLY_PROG', { flags: MapFlag.RDONLY_PROG }, 'MAP_BAD_SPEC'],
    ['more than there is room for', { maxEntries: 2 ** 32 - 1 }, 'MAP_TOO_LARGE'],
  ] as const satisfies readonly (readonly [string, Partial<MapSpec>, MapErrorCode])[]) {
    it(`is refused with ${code} for ${why}`, () => {
      assert.throws(
        () => progArray.check({ ...SPEC, ...numbers }),
        (error) => error instanceof MapError && error.code === code,
      );
    });
  }

  it('takes and gives numbers with the results of the kernel', () => {
    const host = progArray.host(freshMap(progArray, SPEC), SPEC);
    assert.equal(host.lookup(word(1)), undefined);
    assert.equal(host.update(word(1), word(7), 0n), 0);
    assert.equal(host.update(word(1), word(8), 0n), 0);
    assert.deepEqual(host.lookup(word(1)), word(8));
    for (const flags of [1n, 2n, 4n, 2n ** 63n]) assert.equal(host.update(word(1), word(7), flags), -Errno.EINVAL);
    assert.equal(host.update(word(4), word(7), 0n), -Errno.E2BIG);
    assert.equal(host.lookup(word(4)), undefined);
    assert.deepEqual([...host.entries()], [[word(1), word(8)]]);
    assert.deepEqual(
      [host.delete(word(1)), host.delete(word(1)), host.delete(word(4))],
      [0, -Errno.ENOENT, -Errno.E2BIG],
    );
    assert.deepEqual([...host.entries()], []);
    assert.throws(() => host.lookup(new Uint8Array(8)), MapError);
  });

  it('shows programs what the host put there, and nothing beyond its end', () => {
    const program = Builder.function('read', 1, (b, [index]) => b.return(emitFdArrayNumber(b, SPEC, MAP, index!)));
    fc.assert(
      fc.property(
        fc.array(fc.nat(2 ** 32 - 1), { minLength: 4, maxLength: 4 }),
        fc.oneof(fc.bigInt(0n, 5n), fc.bigInt(0n, 2n ** 64n - 1n)),
        (numbers, index) => {
          const memory = freshMap(progArray, SPEC);
          memory.bytes.fill(0xff);
          memory.halves.set(numbers.map((number) => number | 0));
          const read = evaluate(program, { args: [index], memory: regions({ address: MAP, bytes: memory.bytes }) });
          // 32 bits of an index count.
          assert.equal(read, BigInt(numbers[Number(BigInt.asUintN(32, index))] ?? 0));
          const host = progArray.host(memory, SPEC);
          assert.equal([...host.entries()].length, numbers.filter((number) => number !== 0).length);
        },
      ),
    );
  });
});
