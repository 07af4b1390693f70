/** Maps that programs of several processes and the host use at the same time. Sums are exact, whoever was interrupted where. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfMap, type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';

const TOGETHER = 2;
/** Keys below this are there from the beginning to the end. */
const STAYING = 64;
const CALLS = repetitions(200, 50_000);
const ROUNDS = repetitions(50, 5000);

/** Processes with two threads each, in which programs of one object run. */
class Processes implements Disposable {
  readonly object: BpfObject;
  readonly #targets: CallsTarget[] = [];
  readonly #processes: TargetProcess[] = [];

  constructor(object: string) {
    for (let n = 0; n < TOGETHER; n++) {
      const target = new CallsTarget(2);
      this.#targets.push(target);
      this.#processes.push(openProcess(target.pid));
    }
    this.object = openObject(objectFile(object));
  }

  /** Attaches a program in all. @returns what tells how often it ran */
  attach(program: string, symbol: string): () => bigint {
    const links = this.#processes.map((process) =>
      this.object.program(program).attachUprobe(process, `calls:${symbol}`),
    );
    return () => links.reduce((sum, { hits }) => sum + hits, 0n);
  }

  /** All call while `meanwhile` is done again and again. */
  callWhile(meanwhile: (round: number) => void): void {
    for (const target of this.#targets) target.start();
    for (let round = 0; round < ROUNDS; round++) meanwhile(round);
    for (const target of this.#targets) target.stop();
    for (const { wrong } of this.#targets) assert.equal(wrong, 0n);
  }

  /** Every thread makes so many calls. */
  call(calls: number): void {
    for (const target of this.#targets) target.call(calls);
  }

  values(map: string): bigint[] {
    return this.object
      .map(map)
      .entries()
      .map(({ value }) => BigInt(value as number));
  }

  [Symbol.dispose](): void {
    this.object[Symbol.dispose]();
    for (const process of this.#processes) process[Symbol.dispose]();
    for (const target of this.#targets) target[Symbol.dispose]();
  }
}

const sum = (numbers: readonly bigint[]): bigint => numbers.reduce((total, number) => total + number, 0n);

describe('maps that several processes and the host use at once', { skip: CANNOT_TRACE }, () => {
  it('prog_array: each run goes on in what is there, or comes back', () => {
    using all = new Processes('tail-calls');
    const [jumps, stay] = [all.object.map('jumps'), all.object.program('stay')];
    for (let place = 0; place < 7; place++) jumps.delete(place);
    const hits = all.attach('on_visit', 'work');
    all.callWhile((round) => {
      assert.equal(jumps.update(round % 7, stay), 0);
      assert.equal(jumps.delete((round + 3) % 7), round < 4 ? -2 : 0);
    });
    const [main, cameBack, stayed, ...others] = all.values('seen');
    assert.equal(main, hits());
    assert.equal(cameBack! + stayed!, hits());
    assert.equal(sum(others), 0n);
  });

  it('array_of_maps and hash_of_maps: each run counts in the map that is there', () => {
    using all = new Processes('map-in-map');
    const [chosen, named] = [all.object.map('chosen'), all.object.map('named')];
    const [arrays, tallies] = [
      ['first', 'second'],
      ['even', 'odd'],
    ];
    for (const place of [0, 1, 2, 3]) assert.equal(chosen.update(place, all.object.map('first')), 0);
    const hits = all.attach('on_visit', 'work');
    all.callWhile((round) => {
      assert.equal(chosen.update(round % 4, all.object.map(arrays![round % 2]!)), 0);
      assert.equal(named.update(round % 2, all.object.map(tallies![(round >> 1) % 2]!)), 0);
    });
    assert.equal(sum(arrays!.map((map) => all.values(map)[3]!)), hits());
    assert.equal(sum(tallies!.map((map) => sum(all.values(map)))), hits());
    assert.deepEqual(all.values('outcomes'), [0n, 0n]);
  });

  it('bloom_filter: nothing that was added is ever missing', () => {
    using all = new Processes('sets');
    const seen = all.object.map('seen');
    all.attach('on_visit', 'work');
    const added: bigint[] = [];
    all.callWhile((round) => {
      const value = BigInt(round) * 0x9e37_79b9_7f4an;
      assert.equal(seen.update(new Uint8Array(0), value), 0);
      added.push(value);
      assert.ok(added.every((one) => seen.has(one)));
    });
    // Programs look for what they have added, too.
    assert.equal((all.object.map('.bss').entries()[0]!.value as { odd: number }).odd, 0);
  });

  it('lpm_trie: an address is always in the network that is always there', () => {
    using all = new Processes('sets');
    const networks = all.object.map('networks');
    const prefixOf = (length: number, ...address: number[]): Uint8Array => Uint8Array.of(length, 0, 0, 0, ...address);
    assert.equal(networks.update(prefixOf(16, 10, 1, 0, 0), 1), 0);
    const hits = all.attach('on_visit', 'work');
    all.attach('on_change', 'work_push');
    all.callWhile((round) => {
      const longer = prefixOf(24, 10, 1, round, 0);
      assert.equal(networks.update(longer, 2), 0);
      networks.delete(longer);
    });
    const counts = all.values('classes');
    assert.equal(counts[0], 0n);
    assert.equal(sum(counts), hits());
  });

  for (const [map, walk] of [
    ['words', 'walk_words'],
    ['tallies', 'walk_tallies'],
    ['recent', 'walk_recent'],
  ] as const) {
    it(`bpf_for_each_map_elem meets each element of ${map} once while others come`, () => {
      using all = new Processes('walks');
      const found = all.object.map(map);
      for (let key = 0; key < STAYING; key++) assert.equal(found.update(key, key * 7), 0);
      const writes = all.attach('on_more', 'work');
      const walks = all.attach(walk, 'work_push');
      all.call(CALLS);
      assert.ok(found.entries().length > STAYING);
      const met = (): Record<string, bigint> => {
        const [count, twice, missed, wrong, miscounted] = all.values('results');
        return { count: count!, twice: twice!, missed: missed!, wrong: wrong!, miscounted: miscounted! };
      };
      assert.deepEqual(met(), { count: walks(), twice: 0n, missed: 0n, wrong: 0n, miscounted: 0n });
      const added = (): bigint => sum(Array.from({ length: STAYING }, (_, key) => addedTo(found, key)));
      assert.equal(added(), writes());

      // Where others go, one that stays may be met twice or not at all, as in the kernel; it is itself, and walks end.
      const lessWrites = all.attach('on_less', 'work_nops');
      all.call(CALLS);
      const { wrong, miscounted, count } = met();
      assert.deepEqual({ wrong, miscounted, count }, { wrong: 0n, miscounted: 0n, count: walks() });
      assert.ok(lessWrites() > 0n);
    });
  }
});

/** How often writers came by. */
function addedTo(map: BpfMap, key: number): bigint {
  const slots = Array.from({ length: map.slots }, (_, slot) => Buffer.from(map.lookup(key, slot)!).readBigUInt64LE());
  return sum(slots.map((value) => value >> 32n));
}
