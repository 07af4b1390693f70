import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { emitMapProgram } from '../../tests/contract/emitted-map.ts';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { MapError, type MapErrorCode } from './errors.ts';
import { Errno, type MapMemory, type MapSpec } from './map-type.ts';
import { mapMemory } from './memory.ts';
import { userRingbuf } from './user-ringbuf.ts';
import { emitDrain } from './user-ringbuf-code.ts';
import { MAX_SAMPLE, MOST_SAMPLES, UNKNOWN_THREAD, UserRing } from './user-ringbuf-layout.ts';

const MAP = 0x7f00_0000_0000n;
const LOG = 0x1000n;
const OWNER = (9n << 32n) | 77n;
const NUMBERS = { keySize: 0, valueSize: 0, maxEntries: 4096 };
const SPEC = mapSpec(userRingbuf, NUMBERS);
const SIZE = 4096;

/** What a drain gave, and which bytes of the map it showed. */
interface Drained {
  readonly result: number;
  readonly seen: readonly (readonly [at: number, size: number])[];
}

/** Samples that a log has room for: as many as there may be in a ring. */
const ROOM = SIZE / 8 + 1;

/** (flags, limit) -> result: drains, notes what it is shown behind the count at LOG, and stops after `limit` of them. */
const PROGRAM = emitMapProgram(MAP, 0, 2, (b, { address }, [flags, limit]) => {
  const log = b.const(LOG);
  const place = {
    address,
    wakes: false,
    thread: () => b.const(OWNER),
    visit(data: Parameters<typeof b.add>[0], size: Parameters<typeof b.add>[0]) {
      const count = b.load(8, log);
      const entry = b.add(b.mul(count, 16), log);
      b.store(8, entry, 8, data);
      b.store(8, entry, 16, size);
      b.store(8, log, 0, b.add(count, 1));
      return b.compare('eq', b.add(count, 1), limit!);
    },
  };
  return emitDrain(b, SPEC, place, flags!);
});

function drain(memory: MapMemory, flags = 0n, limit = 0n): Drained {
  const log = new BigUint64Array(1 + 2 * ROOM);
  const world = regions({ address: MAP, bytes: memory.bytes }, { address: LOG, bytes: new Uint8Array(log.buffer) });
  const result = Number(BigInt.asIntN(64, evaluate(PROGRAM, { args: [flags, limit], memory: world })));
  const seen = Array.from(
    { length: Number(log[0]) },
    (_, n) => [Number(log[1 + 2 * n]! - MAP), Number(log[2 + 2 * n])] as const,
  );
  return { result, seen };
}

function drainByHost(memory: MapMemory, limit = 0n): Drained {
  const seen: (readonly [number, number])[] = [];
  const result = userRingbuf.host(memory, SPEC).samples!.drain((at, size) => {
    seen.push([at, size]);
    return BigInt(seen.length) === limit ? 1n : 0n;
  });
  return { result, seen };
}

function copyOf({ bytes }: MapMemory): MapMemory {
  return mapMemory(bytes.slice());
}

/** A step of the host, or a drain; sizes are of samples. */
const step = fc.record({
  what: fc.constantFrom('submit', 'submit', 'submit', 'discard', 'begin', 'finish', 'drain'),
  size: fc.oneof(fc.nat(40), fc.nat(SIZE)),
  limit: fc.nat(3),
});

/** Words that a target may write: where, and what. */
const scribble = fc.tuple(
  fc.oneof(
    fc.constantFrom(UserRing.consumer / 8, UserRing.producer / 8),
    fc.nat((UserRing.data + 2 * SIZE) / 8 - 1),
    fc.integer({ min: UserRing.data / 8, max: UserRing.data / 8 + 20 }),
  ),
  fc.oneof(
    fc.nat(2 * SIZE).map(BigInt),
    fc.nat(SIZE / 8).map((n) => BigInt(8 * n)),
    fc.bigInt(0n, 2n ** 32n - 1n),
  ),
);

describe('user_ringbuf', () => {
  for (const [why, numbers, code] of [
    ['a key', { keySize: 4 }, 'MAP_BAD_SPEC'],
    ['a value', { valueSize: 8 }, 'MAP_BAD_SPEC'],
    ['no room', { maxEntries: 0 }, 'MAP_BAD_SPEC'],
    ['flags of other types', { flags: 1 }, 'MAP_BAD_SPEC'],
    ['more than there is room for', { maxEntries: 2 ** 31 }, 'MAP_TOO_LARGE'],
  ] as const satisfies readonly (readonly [string, Partial<MapSpec>, MapErrorCode])[]) {
    it(`is refused with ${code} for ${why}`, () => {
      assert.throws(
        () => userRingbuf.check({ ...SPEC, ...numbers }),
        (error) => error instanceof MapError && error.code === code,
      );
    });
  }

  it('shows programs what the host has submitted, each sample once and in order', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const memory = freshMap(userRingbuf, SPEC);
        const { samples } = userRingbuf.host(memory, SPEC);
        const begun: { finish: () => void; bytes: Uint8Array | undefined; isOver: boolean }[] = [];
        let mark = 0;
        for (const { what, size, limit } of steps) {
          if (what === 'finish') {
            begun.find(({ isOver }) => !isOver)?.finish();
          } else if (what === 'drain') {
            // Up to the first that is not finished.
            const ready: Uint8Array[] = [];
            while (begun[0]?.isOver && (limit === 0 || ready.length < limit)) {
              const { bytes } = begun.shift()!;
              if (bytes !== undefined) ready.push(bytes);
            }
            const { result, seen } = drain(memory, 0n, BigInt(limit));
            assert.equal(result, ready.length);
            assert.deepEqual(
              seen.map(([at, length]) => memory.bytes.slice(at, at + length)),
              ready,
            );
          } else {
            const sample = samples!.reserve(size);
            if (sample === undefined) continue;
            const bytes = what === 'discard' ? undefined : new Uint8Array(size).fill(++mark);
            const one = { bytes, isOver: false, finish: () => {} };
            one.finish = () => {
              samples!.finish(sample, bytes);
              one.isOver = true;
            };
            begun.push(one);
            if (what !== 'begin') one.finish();
          }
        }
      }),
      { numRuns: 200 },
    );
  });

  it('gives whoever drains it the same, program or host, whatever is written there', () => {
    fc.assert(
      fc.property(fc.array(scribble, { maxLength: 12 }), fc.constantFrom(1n, 2n, BigInt(ROOM)), (marks, limit) => {
        const memory = freshMap(userRingbuf, SPEC);
        for (const [at, word] of marks) memory.words[at] = BigInt.asIntN(64, word);
        memory.words[UserRing.busy / 8] = 0n;
        const copy = copyOf(memory);
        assert.deepEqual(drain(memory, 0n, limit), drainByHost(copy, limit));
        assert.deepEqual(memory.bytes, copy.bytes);
      }),
      { numRuns: 400 },
    );
  });

  it('shows nothing beyond its end, whatever is written there', () => {
    const word = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n });
    fc.assert(
      fc.property(word, fc.nat(20000), word, word, (consumer, distance, first, second) => {
        const memory = freshMap(userRingbuf, SPEC);
        memory.words.fill(first, UserRing.data / 8);
        memory.words.fill(second, (UserRing.data + SIZE) / 8);
        memory.words[UserRing.consumer / 8] = consumer;
        memory.words[UserRing.producer / 8] = BigInt.asIntN(64, (consumer & -8n) + BigInt(distance & ~7));
        const copy = copyOf(memory);
        // Whatever it reads outside of the map, the evaluator refuses.
        const { result, seen } = drain(memory, 0n, BigInt(ROOM));
        assert.ok(result >= -Errno.EINVAL && result <= ROOM);
        for (const [at, size] of seen) assert.ok(at >= UserRing.data && at + size <= memory.bytes.length);
        const host = userRingbuf.host(copy, SPEC).samples!;
        for (let n = 0; n < 3; n++) {
          const sample = host.reserve(SIZE - 8);
          if (sample !== undefined) host.finish(sample, new Uint8Array(2 * SIZE).fill(1));
        }
      }),
      { numRuns: 300 },
    );
  });

  it('is drained by one at a time', () => {
    const memory = freshMap(userRingbuf, SPEC);
    const host = userRingbuf.host(memory, SPEC);
    for (const flags of [0n, 1n, 2n, 3n]) assert.equal(drain(memory, flags).result, 0);
    for (const flags of [4n, 1n << 63n]) assert.equal(drain(memory, flags).result, -Errno.EINVAL);
    memory.words[UserRing.busy / 8] = OWNER;
    assert.equal(drain(memory).result, -Errno.EBUSY);
    assert.equal(drain(memory, 4n).result, -Errno.EINVAL);
    const owner = { thread: 77, namespace: 9 };
    assert.deepEqual([...host.owners!.all()], [owner]);
    host.owners!.forget({ ...owner, thread: 78 });
    assert.equal(drain(memory).result, -Errno.EBUSY);
    host.owners!.forget(owner);
    assert.deepEqual([...host.owners!.all()], []);
    assert.equal(drain(memory).result, 0);
    memory.words[UserRing.busy / 8] = BigInt(UNKNOWN_THREAD);
    assert.deepEqual([...host.owners!.all()], [], 'nobody can say whether it has ended');
  });

  it('ends after as many samples as the kernel lets a drain have', () => {
    const memory = freshMap(userRingbuf, SPEC);
    memory.words.fill(8n, UserRing.data / 8);
    memory.words[UserRing.producer / 8] = 16n * BigInt(MOST_SAMPLES) + 64n;
    const { result } = drainByHost(memory);
    assert.equal(result, MOST_SAMPLES);
    assert.equal(Number(memory.words[UserRing.consumer / 8]), 16 * MOST_SAMPLES);
    assert.equal(drainByHost(memory).result, 4);
  });

  it('takes no sample that programs could not see', () => {
    const large = { ...SPEC, maxEntries: 2 ** 25 };
    const memory = mapMemory(new Uint8Array(userRingbuf.size(large)));
    const host = userRingbuf.host(memory, large).samples!;
    assert.equal(host.longest, MAX_SAMPLE);
    assert.equal(host.reserve(MAX_SAMPLE + 1), undefined);
    assert.ok(host.reserve(MAX_SAMPLE));
  });

  it('goes on where it was when it is moved', () => {
    const memory = freshMap(userRingbuf, SPEC);
    const before = userRingbuf.host(memory, SPEC).samples!;
    const first = before.reserve(8)!;
    const moved = copyOf(memory);
    const after = userRingbuf.host(moved, SPEC).samples!;
    after.finish(after.reserve(8)!, new Uint8Array(8).fill(2));
    assert.equal(drain(moved).result, 0);
    after.finish(first, new Uint8Array(8).fill(1));
    assert.deepEqual(
      drain(moved).seen.map(([at]) => moved.bytes[at]),
      [1, 2],
    );
  });
});
