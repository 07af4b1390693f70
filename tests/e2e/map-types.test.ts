/** Map types in live processes: threads and their signal handlers use them at once, and the numbers add up. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';

const THREADS = 8;
const SHARE = 3000;

/** Runs `on_visit` of an object in a crowd; `look` sees the maps while the object still lives in the target. */
function runCrowd(
  name: string,
  compiler: (typeof COMPILERS)[number],
  look: (object: BpfObject, hits: bigint) => void,
): void {
  using target = new Crowd(THREADS, SHARE);
  const before = footprint(target.process);
  const object = openObject(objectFile(name, compiler));
  const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
  const visits = target.run();
  link.detach();
  assert.equal(link.hits + link.missed, visits);
  look(object, link.hits);
  object[Symbol.dispose]();
  assert.deepEqual(footprint(target.process), before);
}

function valuesOf(object: BpfObject, map: string): bigint[] {
  return object
    .map(map)
    .entries()
    .map(({ value }) => BigInt(value as number));
}

for (const compiler of COMPILERS) {
  describe(`of ${compiler}`, { skip: CANNOT_TRACE }, () => {
    it('J2: a hash that is full says so, and holds as much as it says', () => {
      runCrowd('full', compiler, (object, hits) => {
        const [added, wasThere, full, odd] = valuesOf(object, 'outcomes');
        assert.equal(odd, 0n);
        assert.equal(added, 100n);
        assert.ok(full! > 0n);
        assert.equal(added + wasThere! + full!, hits);
        const entries = object.map('small').entries();
        assert.equal(new Set(entries.map(({ key }) => key)).size, 100);
        for (const { key, value } of entries) assert.equal(value, key);
      });
    });

    it('J2: an LRU hash keeps what is looked at, takes all that comes, and is never larger than it says', () => {
      runCrowd('lru', compiler, (object, hits) => {
        const [, odd] = valuesOf(object, 'outcomes');
        assert.equal(odd, 0n);
        const entries = object.map('recent').entries();
        assert.ok(entries.length <= 100);
        assert.equal(new Set(entries.map(({ key }) => key)).size, entries.length);
        const looked = entries.find(({ key }) => key === 0)!;
        assert.equal(BigInt(looked.value as number), hits, 'what every visit looks at was never evicted');
        for (const { key, value } of entries) if (key !== 0) assert.equal(value, key);
      });
    });

    it('a per-CPU hash loses nothing that is added plainly', () => {
      runCrowd('percpu-hash', compiler, (object, hits) => {
        const counts = valuesOf(object, 'counts');
        assert.equal(counts.length, 16);
        assert.equal(
          counts.reduce((sum, one) => sum + one, 0n),
          hits,
        );
        const tallies = object.map('tallies').entries();
        assert.equal(tallies.length, THREADS);
        let calls = 0;
        for (const { values } of tallies) {
          for (const tally of values as unknown as { calls: number; same: number }[]) {
            assert.equal(tally.calls, tally.same);
            calls += tally.calls;
          }
        }
        assert.equal(BigInt(calls), hits);
      });
    });

    it('queues and stacks hold what was pushed and not popped', () => {
      runCrowd('queue', compiler, (object, hits) => {
        const [pushed, full, given, taken, empty, odd] = valuesOf(object, 'outcomes');
        assert.equal(odd, 0n);
        assert.equal(pushed, 1000n);
        assert.equal(pushed + full!, hits);
        assert.equal(taken! + empty!, hits);
        assert.equal(given! - taken!, BigInt(object.map('spares').entries().length));

        const filled = object.map('filled');
        const [first] = filled.entries();
        assert.equal(filled.entries().length, 1000);
        const value = filled.pop();
        assert.deepEqual(
          Buffer.from(value!.subarray(0, 8)).readBigUInt64LE(),
          BigInt((first!.value as { number: number }).number),
        );
        assert.equal(filled.entries().length, 999);
        assert.equal(object.map('latest').entries().length, 16);
      });
    });
  });
}
