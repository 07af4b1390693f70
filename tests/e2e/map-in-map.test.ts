/** Maps of maps in live processes: programs choose among maps while the host puts others in their place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BpfError, type BpfMap, type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const numbers = (map: BpfMap): number[] => map.entries().map(({ value }) => value as number);

/** A thread that has no processor meanwhile stays where it is. */
function drop(object: BpfObject, map: BpfMap): void {
  waitUntil(`no program has ${map.name}`, () => {
    try {
      object.dropInnerMap(map);
      return true;
    } catch (error) {
      if (error instanceof BpfError && error.code === 'RUNTIME_MAP_IN_USE') return false;
      throw error;
    }
  });
}

const THREADS = 8;
const SHARE = 1600;
/** Of all threads' visits, those with the same number modulo 8. */
const PART = BigInt((THREADS * SHARE) / 8);

function values(object: BpfObject, map: string): Record<string, bigint> {
  const entries = object.map(map).entries();
  return Object.fromEntries(entries.map(({ key, value }) => [String(key), BigInt(value as number)]));
}

describe('maps of maps', { skip: CANNOT_TRACE }, () => {
  for (const compiler of COMPILERS) {
    it(`lead many threads to the maps that are in them: ${compiler}`, () => {
      using target = new Crowd(THREADS, SHARE);
      const before = footprint(target.process);
      const object = openObject(objectFile('map-in-map', compiler));
      const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
      const visits = target.run();
      link.detach();
      assert.deepEqual([link.hits, link.missed], [visits, 0n]);
      // Handlers visit with SIGALRM, 14: place 2 of one, 0 of the other, entry 6.
      const handlers = visits - 8n * PART;
      assert.equal(values(object, 'first')[3], 2n * PART);
      assert.equal(values(object, 'second')[3], 2n * PART + handlers);
      assert.deepEqual(values(object, 'longer'), { 0: 0n, 1: 0n, 2: 0n, 3: 0n, 4: 0n });
      assert.deepEqual(values(object, 'even'), { 0: PART, 2: PART, 4: PART, 6: PART + handlers });
      assert.deepEqual(values(object, 'odd'), { 1: PART, 3: PART, 5: PART, 7: PART });
      assert.deepEqual(values(object, 'outcomes'), { 0: 4n * PART, 1: 0n });
      object[Symbol.dispose]();
      assert.deepEqual(footprint(target.process), before);
    });
  }

  it('are changed by the host between two visits', () => {
    using target = new Crowd(2, SHARE);
    using object = openObject(objectFile('map-in-map'));
    const chosen = object.map('chosen');
    const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    for (const place of [0, 2]) assert.equal(chosen.delete(place), 0);
    const first = target.run();
    assert.equal(values(object, 'outcomes')[0], first, 'there is no map');
    for (const place of [0, 1, 2, 3]) assert.equal(chosen.update(place, object.map('second')), 0);
    const second = target.run();
    link.detach();
    assert.equal(values(object, 'outcomes')[0], first);
    assert.equal(values(object, 'second')[3], second);
    assert.equal(values(object, 'first')[3], 0n);
  });

  it('take maps that the host makes while programs run', () => {
    using target = new Crowd(2, SHARE);
    const before = footprint(target.process);
    const object = openObject(objectFile('map-in-map'), { innerMaps: new Map([['chosen', 2]]) });
    const chosen = object.map('chosen');
    const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
    for (let round = 0; round < 3; round++) {
      const [first, second] = [object.makeInnerMap('chosen'), object.makeInnerMap('chosen')];
      assert.throws(() => object.makeInnerMap('chosen'), { code: 'RUNTIME_NO_SPARE' });
      for (const map of [first, second]) assert.deepEqual(numbers(map), [0, 0, 0, 0], 'they are empty');
      for (const place of [0, 1, 2]) assert.equal(chosen.update(place, first), 0);
      assert.equal(chosen.update(3, second), 0);
      const visits = target.run();
      for (const map of [first, second]) drop(object, map);
      assert.deepEqual(chosen.entries(), []);
      // Visits of handlers are those of place 2.
      assert.equal(numbers(second)[3], (2 * SHARE) / 4);
      assert.equal(BigInt(numbers(first)[3]!), visits - BigInt((2 * SHARE) / 4));
      assert.throws(() => object.dropInnerMap(first), TypeError);
    }
    assert.throws(() => object.makeInnerMap('named'), { code: 'RUNTIME_NO_SPARE' });
    assert.equal(values(object, 'outcomes')[0], 0n);
    link.detach();
    object[Symbol.dispose]();
    assert.deepEqual(footprint(target.process), before);
  });

  it('count exactly while the host puts one map in place of another', () => {
    using calls = new CallsTarget(2);
    using process = openProcess(calls.pid);
    using object = openObject(objectFile('map-in-map'), { innerMaps: new Map([['chosen', 3]]) });
    const chosen = object.map('chosen');
    let current = object.makeInnerMap('chosen');
    const fill = (): void => {
      for (const place of [0, 1, 2, 3]) assert.equal(chosen.update(place, current), 0);
    };
    fill();
    const link = object.program('on_visit').attachUprobe(process, 'calls:work');
    let counted = 0n;
    calls.start();
    for (let round = 0; round < repetitions(20, 2000); round++) {
      const last = current;
      current = object.makeInnerMap('chosen');
      fill();
      drop(object, last);
      // It is final: nothing comes later.
      counted += BigInt(numbers(last)[3]!);
    }
    calls.stop();
    link.detach();
    counted += BigInt(numbers(current)[3]!);
    assert.equal(counted, link.hits);
    assert.equal(values(object, 'outcomes')[0], 0n);
    assert.equal(calls.wrong, 0n);
  });

  it('have room for maps only where they are maps of maps', () => {
    for (const name of ['first', 'nothing']) {
      const innerMaps = new Map([[name, 1]]);
      assert.throws(() => openObject(objectFile('map-in-map'), { innerMaps }), { code: 'RUNTIME_NO_MAP' });
    }
  });

  it('take maps of their shape, by the rules and error numbers of the kernel', () => {
    using object = openObject(objectFile('map-in-map'));
    const [chosen, named, first, longer, odd] = ['chosen', 'named', 'first', 'longer', 'odd'].map((name) =>
      object.map(name),
    );
    assert.deepEqual(chosen!.entries(), [
      { key: 0, value: 'first' },
      { key: 2, value: 'second' },
    ]);
    assert.deepEqual(
      named!.entries().sort((a, b) => Number(a.key) - Number(b.key)),
      [
        { key: 0, value: 'even' },
        { key: 1, value: 'odd' },
      ],
    );
    for (const [what, result, wanted] of [
      ['a map', chosen!.update(1, first!), 0],
      ['a map beyond the end', chosen!.update(4, first!), -7],
      ['one that is longer', chosen!.update(1, longer!), -22],
      ['one of another type', chosen!.update(1, odd!), -22],
      ['a map of maps', chosen!.update(1, named!), -22],
      ['a program', chosen!.update(1, object.program('on_visit')), -9],
      ['a number', chosen!.update(1, 1), -9],
      ['nothing', chosen!.delete(1), 0],
      ['nothing again', chosen!.delete(1), -2],
      ['a map under a name that is taken', named!.update(0, odd!, 1n), -17],
      ['a map under a name that must be taken', named!.update(5, odd!, 2n), -2],
      ['a map under a new name', named!.update(5, odd!), 0],
      ['nothing under that', named!.delete(5), 0],
      ['nothing under that again', named!.delete(5), -2],
    ] as const) {
      assert.equal(result, wanted, what);
    }
  });

  for (const compiler of COMPILERS) {
    it(`are of any type whose elements programs use: ${compiler}`, () => {
      using target = new Crowd(4, 400);
      using object = openObject(objectFile('inner-types', compiler), {
        innerMaps: new Map(OUTERS.map((outer) => [outer, 1])),
      });
      // Odd visits find what the object says, even ones what is made now.
      const made = new Map(OUTERS.map((outer) => [outer, object.makeInnerMap(outer)]));
      for (const [outer, map] of made) assert.equal(object.map(outer).update(0, map), 0);
      const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
      const visits = target.run();
      link.detach();
      assert.deepEqual([link.hits, link.missed], [visits, 0n]);
      const odd = (4n * 400n) / 2n;
      const even = visits - odd;
      for (const [outer, counted] of Object.entries(COUNTED)) {
        const [ours, theirs] = [made.get(outer)!, object.map(`${outer}_1`)];
        assert.deepEqual([counted(ours), counted(theirs)], [even, odd], outer);
      }
      for (const outer of ['queues', 'stacks']) {
        for (const map of [made.get(outer)!, object.map(`${outer}_1`)]) assert.equal(map.entries().length, 64, outer);
      }
      assert.deepEqual(values(object, 'failures'), { 0: even - 64n + odd - 64n, 1: even - 64n + odd - 64n, 2: 0n });
      for (const map of made.values()) drop(object, map);
      for (const [outer, map] of made) {
        assert.equal(object.makeInnerMap(outer), map);
        assert.equal(COUNTED[outer]?.(map) ?? BigInt(map.entries().length), 0n, `${outer}, made again`);
      }
    });
  }
});

const sum = (map: BpfMap): bigint => map.entries().reduce((total, { value }) => total + BigInt(value as number), 0n);

/** What each visit adds one to. */
const COUNTED: Readonly<Record<string, (map: BpfMap) => bigint>> = {
  hashes: sum,
  recents: sum,
  slots: sum,
  tries: sum,
  rings: (map) => BigInt(map.events!.consume(() => {})) + map.events!.lost,
};
const OUTERS = [...Object.keys(COUNTED), 'queues', 'stacks'];
