/** Maps of maps in live processes: programs choose among maps while the host puts others in their place. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';

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
});
