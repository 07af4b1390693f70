/** Per-CPU maps in live processes: what a program adds plainly is never lost, however many threads and handlers run it at once. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';

describe('a per-CPU array', { skip: CANNOT_TRACE }, () => {
  for (const [threads, share, compiler] of [
    [1, 200_000, 'clang-14'],
    [64, 5000, COMPILERS[0]],
    [64, 5000, COMPILERS[1]],
    [200, 1000, 'clang-19'],
  ] as const) {
    it(`counts every visit of ${threads} threads, to a program of ${compiler}`, () => {
      using target = new Crowd(threads, share);
      const before = footprint(target.process);
      const object = openObject(objectFile('percpu', compiler));
      const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
      const visits = target.run();
      assert.ok(visits > BigInt(threads * share), 'handlers visit, too');
      link.detach();
      assert.equal(link.hits + link.missed, visits);
      if (threads <= 64) assert.equal(link.missed, 0n);
      for (const { key, value, values } of object.map('counts').entries()) {
        assert.equal(BigInt(value as number), link.hits, `key ${key}`);
        assert.equal(
          values!.reduce<bigint>((sum, one) => sum + BigInt(one as number), 0n),
          link.hits,
        );
      }
      const [tally] = object.map('tallies').entries();
      assert.equal(tally!.value, null);
      const calls = tally!.values!.map((value) => BigInt((value as { calls: number }).calls));
      assert.equal(
        calls.reduce((sum, one) => sum + one, 0n),
        link.hits,
      );
      assert.ok(calls.length <= 192 && calls.every((count) => count > 0n), 'slots are numbered as they are needed');
      object[Symbol.dispose]();
      assert.deepEqual(footprint(target.process), before);
    });
  }

  it('can be given a value by the host, which is then the sum', () => {
    using target = new Crowd(8, 1000);
    using object = openObject(objectFile('percpu'));
    const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    target.run();
    link.detach();
    const counts = object.map('counts');
    assert.ok(counts.slots > 1);
    assert.equal(counts.update(1, 7), 0);
    assert.equal(counts.entries()[1]!.value, 7);
    assert.equal(BigInt(counts.entries()[0]!.value as number), link.hits);
  });
});
