import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { didYouMean, suggest } from './suggest.ts';

describe('suggest', () => {
  for (const [wanted, names, expected] of [
    ['maloc', ['malloc', 'calloc', 'free'], ['malloc']],
    ['mallco', ['malloc', 'free'], ['malloc']],
    ['Malloc', ['malloc'], ['malloc']],
    ['alloc', ['malloc', 'reallocarray', 'free'], ['malloc', 'reallocarray']],
    ['x', ['malloc', 'free'], []],
    ['libc', ['libc.so.6', 'libm.so.6'], ['libc.so.6']],
    ['malloc', ['malloc'], []],
    ['ab', ['__proto__', 'constructor'], []],
  ] as const) {
    it(`${expected.join(', ') || 'nothing'} for ${wanted}`, () => assert.deepEqual(suggest(wanted, names), expected));
  }

  it('passes over names too long to be compared', () => {
    assert.deepEqual(suggest('aaa', ['a'.repeat(100_000)]), []);
  });

  it('puts names in words', () => {
    assert.equal(didYouMean(['a', 'b']), "did you mean 'a' or 'b'?");
    assert.equal(didYouMean([]), undefined);
  });
});
