/** The bpf_conformance suite as native code, in a child process. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { decode } from '../../src/insn/decode.ts';
import { checkBare, nativeCode } from '../support/compiling.ts';
import { CONFORMANCE_CASES, CONFORMANCE_HELPERS } from '../support/conformance-cases.ts';
import { CODE_ADDRESS, type NativeOutcome, NativeRunner } from '../support/native-runner.ts';

describe('bpf_conformance as native code', () => {
  const runner = new NativeRunner();
  let outcomes: readonly NativeOutcome[] = [];

  before(async () => {
    outcomes = await runner.run(
      CONFORMANCE_CASES.map(({ code, memory }) => ({
        code: nativeCode(checkBare(decode(code), CONFORMANCE_HELPERS), CODE_ADDRESS, CONFORMANCE_HELPERS),
        memory: memory.slice(),
      })),
    );
  });
  after(() => runner[Symbol.dispose]());

  it('has 313 cases', () => assert.equal(CONFORMANCE_CASES.length, 313));

  for (const [index, { name, expected }] of CONFORMANCE_CASES.entries()) {
    it(`gives the suite's result for ${name}`, () => {
      const outcome = outcomes[index];
      assert.equal(outcome !== undefined && 'died' in outcome ? outcome.died : outcome?.result, expected);
    });
  }
});
