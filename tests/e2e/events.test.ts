/** Events from live processes: what programs send is read once, in order, and what finds no room is counted. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BpfObject, type JsonValue, openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';

interface Pair {
  readonly a: number;
  readonly b: number;
}

function allOf(object: BpfObject, map: string): JsonValue[] {
  const events: JsonValue[] = [];
  object.map(map).events!.each((event) => events.push(event));
  return events;
}

/** The numbers of pairs, which programs send as two words of 32 bits. */
function collect(object: BpfObject, map: string, into: number[]): number {
  return object.map(map).events!.consume((bytes, at, size) => {
    assert.equal(size, 8);
    into.push(bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16));
  });
}

describe('events', { skip: CANNOT_TRACE }, () => {
  for (const compiler of COMPILERS) {
    it(`of a program of ${compiler} are typed, in order, and what was taken back is not among them`, () => {
      using calls = new CallsTarget(1);
      using target = openProcess(calls.pid);
      using object = openObject(objectFile('events', compiler));
      for (const name of ['on_reserve', 'on_output', 'on_sample', 'on_odd']) {
        object.program(name).attachUprobe(target, 'calls:work');
      }
      calls.call(10);
      const events = allOf(object, 'events') as { readonly number: number; readonly tid: number; name: string }[];
      assert.deepEqual(
        events.map(({ number }) => number),
        [0, 1, 2, 4, 5, 6, 8, 9],
      );
      const tids = readdirSync(`/proc/${calls.pid}/task`);
      for (const { name, tid } of events) {
        assert.equal(name, 'work\x1b[31m!');
        assert.ok(tids.includes(`${tid}`));
      }
      const pairs = Array.from({ length: 10 }, (_, a) => ({ a, b: a + 1 }));
      assert.deepEqual(
        allOf(object, 'pairs').map((pair) => ({ ...(pair as unknown as Pair) })),
        pairs,
      );
      assert.deepEqual(
        allOf(object, 'samples').map((pair) => ({ ...(pair as unknown as Pair) })),
        pairs,
      );
      const answers = object
        .map('facts')
        .entries()
        .map(({ value }) => BigInt.asIntN(64, BigInt(value as number)));
      assert.deepEqual(answers, [-22n, -11n, -22n, 4096n, 160n, 0n, 160n, 0n]);
      // What is longer than the ring is lost as well.
      assert.deepEqual(
        ['events', 'pairs', 'samples'].map((map) => object.map(map).events!.lost),
        [0n, 10n, 0n],
      );
      assert.equal(object.lostEvents, 10n);
    });
  }

  for (const [map, program] of [
    ['pairs', 'on_output'],
    ['samples', 'on_sample'],
  ] as const) {
    it(`of 64 threads and their signal handlers are all in ${map}, or counted as lost`, async () => {
      using target = new Crowd(64, 2000);
      const before = footprint(target.process);
      const object = openObject(objectFile('events'));
      const link = object.program(program).attachUprobe(target.process, `${target.module.name}:visit`);
      target.set('go', 1);
      const seen: number[] = [];
      while (target.counter('finished') < 64n) {
        collect(object, map, seen);
        await sleep(1);
      }
      collect(object, map, seen);
      link.detach();
      const { lost } = object.map(map).events!;
      assert.equal(link.missed, 0n);
      assert.equal(BigInt(seen.length) + lost, link.hits);
      assert.ok(seen.every((number) => number < 2000));
      assert.ok(seen.length > 200);
      object[Symbol.dispose]();
      assert.deepEqual(footprint(target.process), before);
    });
  }

  it('of each thread come in its order, each once', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    object.program('on_reserve').attachUprobe(target, 'calls:work');
    for (let round = 0; round < 10; round++) {
      calls.call(1000);
      const seen: bigint[] = [];
      object.map('events').events!.consume((bytes, at) => {
        seen.push(new DataView(bytes.buffer, bytes.byteOffset + at).getBigUint64(0, true));
      });
      assert.equal(object.lostEvents, 0n);
      for (const thread of [0n, 1n]) {
        const first = (thread << 32n) + BigInt(1000 * round);
        const sent = Array.from({ length: 1000 }, (_, n) => first + BigInt(n)).filter((number) => number % 4n !== 3n);
        assert.deepEqual(
          seen.filter((number) => number >> 32n === thread),
          sent,
        );
      }
    }
  });

  it('come to whoever waits for them, until the signal aborts; the rest stays', async () => {
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const pairs = object.map('samples');
    const end = new AbortController();
    const seen: number[] = [];
    // Who waits before there is a target waits for that, too.
    const reading = (async () => {
      for await (const event of pairs.perfBuffer({ signal: end.signal })) {
        seen.push((event as unknown as Pair).a);
        if (seen.length % 3 === 0) calls.call(3);
        if (seen.length === 10) end.abort();
      }
    })();
    object.program('on_sample').attachUprobe(target, 'calls:work');
    calls.call(3);
    await reading;
    assert.deepEqual(
      seen,
      Array.from({ length: 10 }, (_, n) => n),
    );
    assert.deepEqual(
      allOf(object, 'samples').map((pair) => (pair as unknown as Pair).a),
      [10, 11],
    );
  });

  it('that are there when the object is disposed of are read to the end', async () => {
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    const object = openObject(objectFile('events'));
    object.program('on_output').attachUprobe(target, 'calls:work');
    calls.call(300);
    object[Symbol.dispose]();
    let count = 0;
    for await (const _ of object.map('pairs').ringBuffer()) count++;
    assert.equal(count, 255);
    assert.equal(object.map('pairs').events!.lost, 45n);
  });

  it('are refused of maps that send none', () => {
    using object = openObject(objectFile('events'));
    assert.throws(() => object.map('facts').ringBuffer(), TypeError);
    assert.throws(() => object.map('samples').ringBuffer(), TypeError);
    assert.throws(() => object.map('events').perfBuffer(), TypeError);
  });
});
