import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { emitMapProgram } from '../../tests/contract/emitted-map.ts';
import { describeConcurrency } from '../../tests/contract/map-concurrency.contract.ts';
import { freshMap, mapSpec } from '../../tests/contract/map-operations.ts';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { randomNumbers, scribble } from '../../tests/support/scribbler.ts';
import { MapError } from './errors.ts';
import { Errno, type MapSpec, type MapType } from './map-type.ts';
import { taskStorage } from './task-storage.ts';

const NUMBERS = { keySize: 4, maxEntries: 0, flags: 1 };
const SPEC = mapSpec(taskStorage, NUMBERS);
const MAP = 0x7f00_0000_0000n;
const VALUE = 0x1000n;
const CREATE = 1n;
const code = taskStorage.threadValues!;

const get = (spec: MapSpec) =>
  emitMapProgram(MAP, 0, 3, (b, context, [owner, value, flags]) =>
    code.emitGet(b, spec, context, owner!, value!, flags!),
  );
const forget = (spec: MapSpec) =>
  emitMapProgram(MAP, 0, 1, (b, context, [owner]) => code.emitForget(b, spec, context, owner!));

/** A map as programs use it; values are their bytes. */
function threads(spec: MapSpec) {
  const memory = freshMap(taskStorage, spec);
  const run = (fn: ReturnType<typeof get>, args: bigint[], value = new Uint8Array(0)): bigint =>
    evaluate(fn, { args, memory: regions({ address: MAP, bytes: memory.bytes }, { address: VALUE, bytes: value }) });
  return {
    memory,
    host: taskStorage.host(memory, spec),
    get(owner: bigint, flags = 0n, first?: number): number[] | undefined {
      const value = first === undefined ? undefined : new Uint8Array(spec.valueSize).fill(first);
      const address = run(get(spec), [owner, value === undefined ? 0n : VALUE, flags], value);
      const at = Number(address - MAP);
      return address === 0n ? undefined : [...memory.bytes.subarray(at, at + spec.valueSize)];
    },
    forget: (owner: bigint) => Number(BigInt.asIntN(64, run(forget(spec), [owner]))),
  };
}

const id = (thread: number): Uint8Array => new Uint8Array(Uint32Array.of(thread).buffer);

describe('task_storage', () => {
  for (const [why, numbers] of [
    ['a key that is no descriptor', { keySize: 8 }],
    ['a number of entries', { maxEntries: 16 }],
    ['preallocation', { flags: 0 }],
    ['flags of other types', { flags: 1 | 0x400 }],
    ['no value', { valueSize: 0 }],
    ['a value of 64 KB', { valueSize: 65536 }],
    ['map_extra', { extra: 1n }],
  ] as const) {
    it(`refuses ${why}`, () => {
      assert.throws(() => taskStorage.check(mapSpec(taskStorage, { ...NUMBERS, ...numbers })), MapError);
    });
  }

  for (const valueSize of [1, 4, 8, 12, 100]) {
    const zeros = Array.from({ length: valueSize }, () => 0);
    const sevens = Array.from({ length: valueSize }, () => 7);

    it(`makes values of ${valueSize} bytes when it is asked to, of zeros or of what is given`, () => {
      const map = threads(mapSpec(taskStorage, { ...NUMBERS, valueSize }));
      assert.equal(map.get(1n), undefined);
      assert.equal(map.get(1n, 2n), undefined);
      assert.equal(map.get(1n, 1n << 32n), undefined);
      assert.deepEqual(map.get(1n, CREATE), zeros);
      assert.deepEqual(map.get(1n, CREATE, 7), zeros, 'what is there stays');
      assert.deepEqual(map.get(2n, CREATE, 7), sevens);
      assert.deepEqual(map.get(2n), sevens);
      assert.equal(map.forget(2n), 0);
      assert.equal(map.forget(2n), -Errno.ENOENT);
      assert.equal(map.get(2n), undefined);
      assert.deepEqual(map.get(2n, CREATE), zeros, 'nothing is left of what was there');
    });
  }

  it('tells threads of different namespaces apart; for the host they have one id', () => {
    const map = threads(SPEC);
    map.get(5n, CREATE, 1);
    map.get((9n << 32n) | 5n, CREATE, 2);
    assert.deepEqual(map.get(5n)![0], 1);
    assert.deepEqual(
      [...map.host.owners!.all()].sort((a, b) => a.namespace - b.namespace),
      [
        { thread: 5, namespace: 0 },
        { thread: 5, namespace: 9 },
      ],
    );
    map.host.owners!.forget({ thread: 5, namespace: 0 });
    assert.equal(map.get(5n), undefined);
    assert.equal(map.host.lookup(id(5))?.[0], 2);
    assert.deepEqual(
      [...map.host.entries()].map(([key]) => [...key]),
      [[5, 0, 0, 0]],
    );
    assert.equal(map.host.delete(id(5)), 0);
    assert.equal(map.host.delete(id(5)), -Errno.ENOENT);
  });

  it('lets the host change what a thread has, and begin nothing for it', () => {
    const map = threads(SPEC);
    const value = new Uint8Array(8).fill(9);
    assert.equal(map.host.update(id(3), value, 0n), -Errno.ESRCH);
    map.get(3n, CREATE);
    assert.equal(map.host.update(id(3), value, 1n), -Errno.EEXIST);
    assert.equal(map.host.update(id(3), value, 3n), -Errno.EINVAL);
    assert.equal(map.host.update(id(3), value, 2n), 0);
    assert.equal(map.get(3n)![0], 9);
  });

  it('gives nothing to one thread more than there is room for', () => {
    const map = threads(SPEC);
    let count = 0;
    const value = new Uint8Array(8);
    const owner = (thread: number) => new Uint8Array(Uint32Array.of(thread, 0).buffer);
    while (map.host.update(owner(count + 1), value, 0n) === 0) count++;
    assert.equal(count, 4096);
    assert.equal(map.get(10_000n, CREATE), undefined);
    assert.equal(map.forget(1n), 0);
    assert.ok(map.get(10_000n, CREATE));
  });

  it('stays within bounds for the host, whatever is written into its memory', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1 }), (seed) => {
        const random = randomNumbers(seed);
        const { memory, host, get } = threads(SPEC);
        for (let thread = 1n; thread < 4n; thread++) get(thread, CREATE);
        for (let n = 0; n < 40; n++) scribble(memory, random);
        host.lookup(id(1));
        host.update(id(2), new Uint8Array(8), 0n);
        host.delete(id(3));
        assert.ok([...host.owners!.all()].length <= 4096);
        taskStorage.recover(memory, SPEC);
        assert.ok([...host.entries()].length <= 4096);
      }),
      { numRuns: 30 },
    );
  });
});

/** Looked up by a key of eight bytes that stands for a thread, as a program of that thread that wants a value. */
const wanted: MapType = {
  ...taskStorage,
  emitLookup: (b, spec, context, key) => code.emitGet(b, spec, context, b.load(8, key), b.const(0), b.const(CREATE)),
};
describeConcurrency(wanted, [['count', 64, { keySize: 8, valueSize: 8, maxEntries: 0 }]]);
