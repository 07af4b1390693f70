import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { Hammer } from '../../tests/contract/map-hammer.ts';
import { describeInterruption } from '../../tests/contract/map-interruption.contract.ts';
import { keylessAsMap, type ModelMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { describeMapType } from '../../tests/contract/map-type.contract.ts';
import { viewOf } from '../bytes/struct.ts';
import { Errno, type MapSpec, type MapType } from './map-type.ts';
import { queue, stack } from './queue.ts';

const NO_KEY = new Uint8Array(0);

/** A list with the kernel's rules. */
const modelOf =
  (type: MapType) =>
  ({ maxEntries }: MapSpec): ModelMap => {
    const values: Uint8Array[] = [];
    const inTurn = () => (type === queue ? [...values] : [...values].reverse());
    const map = keylessAsMap({
      lookup: () => inTurn()[0],
      update(_, value, flags) {
        if (flags !== 0n && flags !== 2n) return -Errno.EINVAL;
        if (values.length === maxEntries && flags === 0n) return -Errno.E2BIG;
        if (values.length === maxEntries) values.shift();
        values.push(value);
        return 0;
      },
      pop: () => (type === queue ? values.shift() : values.pop()),
    });
    return { ...map, entries: () => inTurn().map((value, place) => [Uint8Array.of(place), value] as const) };
  };

const SHAPES = [1, 4, 8, 12, 100].flatMap((valueSize) =>
  [1, 2, 5].map((maxEntries) => ({ keySize: 0, valueSize, maxEntries })),
);

for (const [type, stories] of [
  [
    queue,
    [
      ['begins empty', 'get 0: nothing, delete 0: ENOENT'],
      ['gives the first first', 'set 0=5, set 0=6, get 0: 5, delete 0: 5, get 0: 6, delete 0: 6, delete 0: ENOENT'],
      ['gives E2BIG when it is full', 'set 0=1, set 0=2, set 0=3, set 0=4: E2BIG, delete 0: 1, set 0=4, get 0: 2'],
      ['drops the oldest for EXIST', 'set 0=1, set 0=2, set 0=3, set 0=4 EXIST, delete 0: 2, delete 0: 3, delete 0: 4'],
      ['takes EXIST where there is room', 'set 0=1 EXIST, set 0=2 EXIST, delete 0: 1, delete 0: 2, delete 0: ENOENT'],
      [
        'gives EINVAL to other flags',
        'set 0=1 NOEXIST: EINVAL, set 0=1 3: EINVAL, set 0=1 LOCK: EINVAL, get 0: nothing',
      ],
    ],
  ],
  [
    stack,
    [
      ['begins empty', 'get 0: nothing, delete 0: ENOENT'],
      ['gives the last first', 'set 0=5, set 0=6, get 0: 6, delete 0: 6, get 0: 5, delete 0: 5, delete 0: ENOENT'],
      ['gives E2BIG when it is full', 'set 0=1, set 0=2, set 0=3, set 0=4: E2BIG, delete 0: 3, set 0=4, get 0: 4'],
      [
        'drops the oldest for EXIST',
        'set 0=1, set 0=2, set 0=3, set 0=4 EXIST, delete 0: 4, delete 0: 3, delete 0: 2, delete 0: ENOENT',
      ],
      ['gives EINVAL to other flags', 'set 0=1 NOEXIST: EINVAL, set 0=1 3: EINVAL, set 0=1 8: EINVAL, get 0: nothing'],
    ],
  ],
] as const) {
  const model = modelOf(type);
  describeMapType({
    type,
    model,
    shapes: SHAPES,
    story: { keySize: 0, valueSize: 12, maxEntries: 3 },
    stories,
    refusals: [
      ['a key', { keySize: 4 }, 'MAP_BAD_SPEC'],
      ['value size 0', { keySize: 0, valueSize: 0 }, 'MAP_BAD_SPEC'],
      ['a value larger than the kernel allocates', { keySize: 0, valueSize: 2 ** 22 + 1 }, 'MAP_BAD_SPEC'],
      ['no entries', { keySize: 0, maxEntries: 0 }, 'MAP_BAD_SPEC'],
      ['NO_PREALLOC', { keySize: 0, flags: 1 }, 'MAP_BAD_SPEC'],
      ['2^32 - 1 entries', { keySize: 0, maxEntries: 2 ** 32 - 1 }, 'MAP_TOO_LARGE'],
    ],
  });
  describeInterruption(type, model, [
    { keySize: 0, valueSize: 8, maxEntries: 1 },
    { keySize: 0, valueSize: 20, maxEntries: 3 },
  ]);

  describe(`${type.name} map: many threads`, () => {
    const BLOWS = { processes: 2, threads: 4, milliseconds: 250, keys: type === queue ? 1 : 0 };
    let hammer: Hammer;
    before(() => {
      hammer = new Hammer();
    });
    after(() => hammer[Symbol.dispose]());

    for (const [valueSize, maxEntries] of [
      [8, 1],
      [8, 100],
      [24, 3],
      [24, 1000],
    ] as const) {
      const spec = mapSpec(type, { keySize: 0, valueSize, maxEntries });

      it(`pop what was pushed, each value once: value ${valueSize}, ${maxEntries} entries`, async () => {
        using map = hammer.map(type, spec);
        const host = type.host(map.memory, spec);
        const running = map.hammer('pass', BLOWS);
        const mine = takePart(type, spec, map.memory, BLOWS.milliseconds);
        const { pushed, popped, added } = await running;
        const left = drain(type, spec, map.memory);
        assert.ok(added![0]! > 10_000n, 'they got to work');
        assert.equal(
          BigInt.asUintN(64, pushed![0]! + mine.pushed),
          BigInt.asUintN(64, popped![0]! + mine.popped + left),
        );
        for (let count = 0; count < maxEntries; count++) assert.equal(host.update(NO_KEY, wordBytes(spec, 1n), 0n), 0);
        assert.equal(host.update(NO_KEY, wordBytes(spec, 1n), 0n), -Errno.E2BIG, 'nothing was lost');
      });
    }

    it('may be killed at any instruction', async () => {
      const spec = mapSpec(type, { keySize: 0, valueSize: 24, maxEntries: 1500 });
      using map = hammer.map(type, spec);
      await map.hammer('passKilled', { ...BLOWS, processes: 1, threads: 2 });
      drain(type, spec, map.memory);
      type.recover(map.memory, spec);
      const host = type.host(map.memory, spec);
      for (let count = 0; count < 1500; count++) assert.equal(host.update(NO_KEY, wordBytes(spec, 1n), 0n), 0);
      assert.equal(host.update(NO_KEY, wordBytes(spec, 1n), 0n), -Errno.E2BIG);
    });
  });
}

/** The host pushes and pops among the threads. Its own values say that thread 63 made them. */
function takePart(
  type: MapType,
  spec: MapSpec,
  memory: Parameters<MapType['host']>[0],
  milliseconds: number,
): { pushed: bigint; popped: bigint } {
  const host = type.host(memory, spec);
  const mine = { pushed: 0n, popped: 0n };
  const end = performance.now() + milliseconds;
  for (let number = 1n; performance.now() < end; number++) {
    const word = (63n << 32n) | number;
    if (host.update(NO_KEY, wordBytes(spec, word), 0n) === 0) mine.pushed += word;
    const value = host.pop!();
    if (value !== undefined) mine.popped += wordOf(value);
  }
  return mine;
}

/** The sum of all that is left. */
function drain(type: MapType, spec: MapSpec, memory: Parameters<MapType['host']>[0]): bigint {
  const host = type.host(memory, spec);
  let sum = 0n;
  for (let value = host.pop!(); value !== undefined; value = host.pop!()) sum += wordOf(value);
  return sum;
}

function wordBytes({ valueSize }: MapSpec, word: bigint): Uint8Array {
  return new Uint8Array(BigUint64Array.from({ length: valueSize / 8 }, () => word).buffer);
}

/** The number in a value, whose words must all be alike. */
function wordOf(value: Uint8Array): bigint {
  const word = viewOf(value).getBigUint64(0, true);
  assert.deepEqual(value, wordBytes({ valueSize: value.length } as MapSpec, word), 'a torn value');
  return word;
}
