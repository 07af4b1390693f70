/** Targets that write what they like into the memory they share with us: readers stay within bounds, and come to an end. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { openObject, openProcess } from '../../src/index.ts';
import { array } from '../../src/maps/array.ts';
import { bloomFilter } from '../../src/maps/bloom-filter.ts';
import type { EventRing } from '../../src/maps/event-ring.ts';
import { hash } from '../../src/maps/hash.ts';
import { lpmTrie } from '../../src/maps/lpm-trie.ts';
import { lruHash } from '../../src/maps/lru-hash.ts';
import type { HostMap, MapMemory, MapSpec, MapType } from '../../src/maps/map-type.ts';
import { mapMemory } from '../../src/maps/memory.ts';
import { percpuArray } from '../../src/maps/percpu-array.ts';
import { lruPercpuHash, percpuHash } from '../../src/maps/percpu-hash.ts';
import { queue, stack } from '../../src/maps/queue.ts';
import { ringbuf } from '../../src/maps/ringbuf.ts';
import { ringLayout } from '../../src/maps/ringbuf-layout.ts';
import { userRingbuf } from '../../src/maps/user-ringbuf.ts';
import { UserRing } from '../../src/maps/user-ringbuf-layout.ts';
import { freshMap, mapSpec } from '../contract/map-operations.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { randomNumbers, scribble } from '../support/scribbler.ts';

/** Written, all types together. */
const MUTATIONS = repetitions(400_000, 100_000_000);
/** Between one fresh map and the next. */
const AT_ONCE = 32;

const RING = mapSpec(ringbuf, { keySize: 0, valueSize: 0, maxEntries: 4096 });
const RING_OF_SAMPLES = { ...RING, type: userRingbuf.id };
const TABLES: readonly (readonly [MapType, MapSpec])[] = [
  ...[array, percpuArray, hash, lruHash, percpuHash, lruPercpuHash].map(
    (type) => [type, mapSpec(type, { maxEntries: 8 })] as const,
  ),
  [lpmTrie, mapSpec(lpmTrie, { keySize: 8, maxEntries: 8, flags: 1 })],
  ...[queue, stack, bloomFilter].map((type) => [type, mapSpec(type, { keySize: 0, maxEntries: 8 })] as const),
];

/** Reads a ring as users do. */
function readRing(ring: EventRing, { bytes }: MapMemory): void {
  const { data, heads, size } = ringLayout(RING);
  const count = ring.consume((found, at, length) => {
    if (found !== bytes || at < data || at + length > heads) assert.fail(`${length} bytes at ${at}`);
  });
  if (count > size / 16) assert.fail(`${count} records in one lap`);
  if (ring.heldUpBy !== undefined) ring.abandon();
}

/** Every operation of a table. */
function useTable(host: HostMap, spec: MapSpec, random: () => number): void {
  const key = new Uint8Array(spec.keySize);
  if (spec.keySize > 0) key[0] = random() % 12;
  host.lookup(key);
  host.update(key, new Uint8Array(spec.valueSize), 0n);
  if (host.pop === undefined) host.delete(key);
  else host.pop();
  let count = 0;
  for (const [, value] of host.entries()) {
    if (++count > spec.maxEntries) assert.fail('more entries than there may be');
    if (value.length !== spec.valueSize) assert.fail('a value of another size');
  }
}

describe('memory that a hostile target writes to', () => {
  it('L4: readers of rings stay within bounds, whatever is written there', () => {
    const random = randomNumbers(4);
    const memory = freshMap(ringbuf, RING);
    for (let done = 0; done < MUTATIONS * 0.99; ) {
      memory.bytes.fill(0);
      ringbuf.init(memory, RING);
      const ring = ringbuf.host(memory, RING).ring!;
      for (let n = random() % 8; n > 0; n--) {
        const record = ring.producer.reserve(random() % 600, 0n);
        if (record !== undefined && n > 1) ring.producer.finish(record, n % 3 === 0 ? 'discard' : 'submit');
      }
      for (let n = 0; n < AT_ONCE; n++, done++) {
        scribble(memory, random);
        if (n % 2 === 0) readRing(ring, memory);
      }
    }
  });

  it('L4: tables stay within bounds, whatever is written there', () => {
    const random = randomNumbers(5);
    for (const [type, spec] of TABLES) {
      const memory = freshMap(type, spec);
      for (let done = 0; done < (MUTATIONS * 0.01) / TABLES.length; ) {
        memory.bytes.fill(0);
        type.init(memory, spec);
        const host = type.host(memory, spec);
        for (let n = 0; n < AT_ONCE; n++, done++) {
          scribble(memory, random);
          if (n % 4 === 0) useTable(host, spec, random);
        }
        type.recover(memory, spec);
      }
    }
  });

  it('L4: who sends samples to programs stays within bounds, whatever is written there', () => {
    const random = randomNumbers(6);
    const memory = freshMap(userRingbuf, RING_OF_SAMPLES);
    for (let done = 0; done < MUTATIONS * 0.01; ) {
      memory.bytes.fill(0);
      const ring = userRingbuf.host(memory, RING_OF_SAMPLES).samples!;
      for (let n = 0; n < AT_ONCE; n++, done++) {
        scribble(memory, random);
        const sample = ring.reserve(random() % 600);
        if (sample !== undefined && n % 3 !== 0) ring.finish(sample, n % 2 === 0 ? new Uint8Array(600) : undefined);
        let left = 100;
        ring.drain((at, size) => {
          if (at < UserRing.data || at + size > memory.bytes.length) assert.fail(`${size} bytes at ${at}`);
          return --left === 0 ? 1n : 0n;
        });
      }
    }
  });

  it('L4: readers are as safe while somebody writes at the same moment', async () => {
    const shared = new SharedArrayBuffer(ringbuf.size(RING));
    const stop = new SharedArrayBuffer(4);
    const memory = mapMemory(new Uint8Array(shared));
    const child = fileURLToPath(new URL('../support/scribbler-child.js', import.meta.url));
    const worker = new Worker(child, { workerData: { memory: shared, stop } });
    await new Promise((resolve) => worker.once('online', resolve));
    for (let round = 0; round < repetitions(2000, 1_000_000); round++) {
      ringbuf.init(memory, RING);
      const ring = ringbuf.host(memory, RING).ring!;
      for (let n = 0; n < 8; n++) {
        const record = ring.producer.reserve(16, 0n);
        if (record !== undefined && record < memory.bytes.length) readRing(ring, memory);
      }
    }
    Atomics.store(new Int32Array(stop), 0, 1);
    await new Promise((resolve) => worker.once('exit', resolve));
  });

  it('L3: a target cannot make its memory shorter; what it punches out reads as nothing', {
    skip: CANNOT_TRACE,
  }, (t) => {
    if (process.getuid?.() !== 0) return t.skip('only root may open what another process has mapped');
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'calls:work');
    calls.call(10);
    const ranges = readFileSync(`/proc/${calls.pid}/maps`, 'utf8')
      .split('\n')
      .filter((line) => line.includes('memfd:remora'))
      .map((line) => line.split(' ')[0]!);
    assert.ok(ranges.length > 0);
    for (const range of ranges) {
      const path = `/proc/${calls.pid}/map_files/${range}`;
      const fd = openSync(path, 'r+');
      for (const size of [0, 4096, 2 ** 31]) {
        assert.throws(() => ftruncateSync(fd, size), { code: 'EPERM' });
      }
      closeSync(fd);
    }
    link.detach();
    // All of it at once, while nothing of ours runs there.
    for (const range of ranges) {
      const path = `/proc/${calls.pid}/map_files/${range}`;
      execFileSync('fallocate', ['--punch-hole', '--offset', '0', '--length', `${2 ** 30}`, path]);
    }
    assert.equal(
      object.map('samples').events!.consume(() => {}),
      0,
    );
    assert.equal(object.map('facts').entries().length, 8);
    calls.call(10);
    assert.equal(calls.wrong, 0n);
  });
});
