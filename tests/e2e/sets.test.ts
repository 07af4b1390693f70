/** Maps that arguments are looked for in, in live processes: prefixes of addresses, and values that were seen. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { readThreadIds } from '../../src/sys/proc.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';

const THREADS = 8;
const SHARE = 3000;

/** Networks that the host adds. */
const NETWORKS: readonly (readonly [prefix: readonly number[], length: number, kind: number])[] = [
  [[10, 0, 0, 0], 8, 1],
  [[10, 1, 4, 0], 22, 2],
  [[10, 1, 4, 7], 32, 3],
  [[11, 0, 0, 0], 0, 4],
];

for (const compiler of COMPILERS) {
  describe(`sets, object of ${compiler}`, { skip: CANNOT_TRACE }, () => {
    it('find the longest prefix and every value that was seen', () => {
      using target = new Crowd(THREADS, SHARE);
      const before = footprint(target.process);
      {
        using object = openObject(objectFile('sets', compiler));
        const networks = object.map('networks');
        for (const [prefix, length, kind] of NETWORKS) {
          assert.equal(networks.update(Uint8Array.of(length, 0, 0, 0, ...prefix), kind), 0);
        }
        const place = `${target.module.name}:visit`;
        const link = object.program('on_visit').attachUprobe(target.process, place);
        const visits = target.run();
        assert.deepEqual([link.hits, link.missed], [visits, 0n]);
        const classes = object.map('classes');
        const counts = () => classes.entries().map(({ value }) => Number(value));
        const inFour = THREADS * 1023;
        assert.deepEqual(counts(), [0, Number(visits) - inFour - THREADS, inFour, THREADS, 0, 0, 0, 0]);
        assert.deepEqual(
          networks
            .entries()
            .map(({ key, value }) => [(key as { length: number }).length, value])
            .sort(),
          [
            [0, 4],
            [22, 2],
            [32, 3],
            [8, 1],
          ],
        );

        // While programs change the map others find what they should.
        object.program('on_change').attachUprobe(target.process, place);
        target.run();
        const then = counts();
        assert.equal(
          then.reduce((sum, one) => sum + one, 0),
          Number(link.hits),
        );
        assert.deepEqual([then[0], then[3], then[5], then[6]], [0, 2 * THREADS, 0, 0]);
        for (const { key, value } of networks.entries()) {
          assert.equal((key as { length: number }).length === 24, value === 7);
        }

        const seen = object.map('seen');
        assert.equal(seen.spec.extra, 3n);
        const visitors = [...readThreadIds(target.pid)].filter((thread) => thread !== target.pid);
        assert.equal(visitors.length, THREADS);
        for (let number = 0; number < SHARE; number++) {
          for (const thread of visitors) {
            assert.ok(seen.has((BigInt(thread) << 32n) | BigInt(number)));
          }
        }
        assert.deepEqual(seen.entries(), []);
        assert.throws(() => seen.pop(), TypeError);
        assert.throws(() => networks.has(0), TypeError);
        assert.deepEqual([...object.map('.bss').lookup(0)!].slice(0, 8), [0, 0, 0, 0, 0, 0, 0, 0]);
      }
      assert.deepEqual(footprint(target.process), before);
    });
  });
}
