import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { callEmitted, FACTS } from '../../tests/contract/helper.contract.ts';
import { regions } from '../../tests/support/ir-evaluator.ts';
import { getPrandomU32 } from './random.ts';

describe('bpf_get_prandom_u32', () => {
  const state = new Uint8Array(8);
  const memory = regions({ address: FACTS.randomState, bytes: state });
  const numbers = Array.from({ length: 1000 }, () => Number(callEmitted(getPrandomU32, [], FACTS, memory)));

  it('gives 32 bits', () => assert.ok(numbers.every((number) => number >= 0 && number < 2 ** 32)));
  it('does not repeat itself soon', () => assert.equal(new Set(numbers).size, numbers.length));
  it('sets each bit about half of the time', () => {
    for (let bit = 0; bit < 32; bit++) {
      const ones = numbers.filter((number) => ((number >>> bit) & 1) === 1).length;
      assert.ok(ones > 420 && ones < 580, `bit ${bit}: ${ones} of 1000`);
    }
  });
});
