/** Helpers on rings in the interpreter: what programs send there, a consumer of the same memory reads. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { mapSpec } from '../../tests/contract/map-operations.ts';
import { perfEventArray, ringbuf } from '../maps/ringbuf.ts';
import { InterpreterWorld } from '../vm/world.ts';
import { perfEventOutput } from './perf-event-output.ts';
import { ringbufDiscard, ringbufOutput, ringbufQuery, ringbufReserve, ringbufSubmit } from './ringbuf.ts';

const DATA = 0x5000n;
const CURRENT_CPU = 0xffff_ffffn;

/** A world with one map, and four bytes to be sent. */
function worldOf(type: typeof ringbuf, numbers: { readonly keySize: number; readonly valueSize: number }) {
  const world = new InterpreterWorld([mapSpec(type, { ...numbers, maxEntries: 4096 })], { cpu: 3 });
  world.memory.map(DATA, Uint8Array.of(1, 2, 3, 4));
  const map = world.resolve({ kind: 'map', map: 'm' });
  const ring = world.map('m').ring!;
  const take = (): number[][] => {
    const records: number[][] = [];
    ring.consume((bytes, at, size) => records.push([...bytes.slice(at, at + size)]));
    return records;
  };
  return { world, map, ring, take };
}

const signed = (result: bigint): bigint => BigInt.asIntN(64, result);

describe('helpers on ring buffers, interpreted', () => {
  const ring = () => worldOf(ringbuf, { keySize: 0, valueSize: 0 });

  it('send what is copied, reserved and submitted; not what is discarded', () => {
    const { world, map, take } = ring();
    assert.equal(ringbufOutput.run(world, [map, DATA, 4n, 0n]), 0n);
    for (const [finish, byte] of [
      [ringbufSubmit, 9],
      [ringbufDiscard, 8],
      [ringbufSubmit, 7],
    ] as const) {
      const record = ringbufReserve.run(world, [map, 2n, 0n]);
      world.memory.view(record, 2).fill(byte);
      finish.run(world, [record, 0n]);
    }
    assert.deepEqual(take(), [
      [1, 2, 3, 4],
      [9, 9],
      [7, 7],
    ]);
  });

  it('refuse flags and sizes as the kernel does, and count what finds no room', () => {
    const { world, map, ring: reader } = ring();
    assert.equal(signed(ringbufOutput.run(world, [map, DATA, 4n, 4n])), -22n);
    assert.equal(ringbufReserve.run(world, [map, 4n, 1n]), 0n);
    assert.equal(reader.lost, 0n);
    assert.equal(ringbufReserve.run(world, [map, 4096n, 0n]), 0n);
    assert.notEqual(ringbufReserve.run(world, [map, 4080n, 0n]), 0n);
    assert.equal(signed(ringbufOutput.run(world, [map, DATA, 4n, 0n])), -11n);
    assert.equal(reader.lost, 2n);
  });

  it('answer questions about the ring', () => {
    const { world, map, take } = ring();
    ringbufOutput.run(world, [map, DATA, 4n, 0n]);
    const facts = (): bigint[] => [0n, 1n, 2n, 3n, 4n].map((flag) => ringbufQuery.run(world, [map, flag]));
    assert.deepEqual(facts(), [16n, 4096n, 0n, 16n, 0n]);
    take();
    assert.deepEqual(facts(), [0n, 4096n, 16n, 16n, 0n]);
  });

  it('send through a perf event array', () => {
    const { world, map, take } = worldOf(perfEventArray, { keySize: 4, valueSize: 4 });
    assert.equal(perfEventOutput.run(world, [0n, map, CURRENT_CPU, DATA, 4n]), 0n);
    assert.equal(perfEventOutput.run(world, [0n, map, 1n, DATA, 0n]), 0n);
    assert.equal(signed(perfEventOutput.run(world, [0n, map, 1n << 32n, DATA, 4n])), -22n);
    assert.equal(signed(perfEventOutput.run(world, [0n, map, 5000n, DATA, 4n])), -7n);
    assert.equal(signed(perfEventOutput.run(world, [0n, map, 0n, DATA, 70_000n])), -7n);
    assert.deepEqual(take(), [[1, 2, 3, 4], []]);
  });
});
