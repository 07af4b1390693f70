import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { globMatcher } from './glob.ts';

describe('globMatcher', () => {
  for (const [pattern, name, matches] of [
    ['malloc', 'malloc', true],
    ['malloc', 'mallocs', false],
    ['*alloc*', 'malloc', true],
    ['*alloc*', 'realloc_at', true],
    ['many_1???', 'many_1234', true],
    ['many_1???', 'many_12345', false],
    ['**', '', true],
    ['a.c', 'abc', false],
    ['A<*>::f(int)', 'A<b>::f(int)', true],
    ['[ab]', 'a', false],
  ] as const) {
    it(`${pattern} ${matches ? 'matches' : 'does not match'} '${name}'`, () =>
      assert.equal(globMatcher(pattern)(name), matches));
  }
});
