import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isFragment } from './functions.ts';

describe('isFragment', () => {
  for (const [name, expected] of [
    ['probed.cold', true],
    ['probed.cold.1', true],
    ['probed.part.0.cold', true],
    ['_ZN2ns3addEil.cold', true],
    ['ns::add(int, long) [clone .cold]', true],
    ['probed.__part.2', true],
    ['probed', false],
    ['probed.part.0', false],
    ['probed.isra.0.constprop.1', false],
    ['cold', false],
    ['colder.coldest', false],
  ] as const) {
    it(`${expected ? 'knows' : 'passes over'} ${name}`, () => assert.equal(isFragment(name), expected));
  }
});
