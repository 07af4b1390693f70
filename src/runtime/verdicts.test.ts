/** What a verdict says besides accepted or refused. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PROTOTYPES } from '../helpers/kernel-prototypes.ts';
import { HELPERS } from '../helpers/table.ts';
import { assemble } from '../insn/assemble.ts';
import { encode } from '../insn/encode.ts';
import { verifyBare } from './verdicts.ts';

describe('verifyBare', () => {
  for (const [id, { name, args }] of PROTOTYPES) {
    if (args.length > 0) continue;
    const isHere = HELPERS.has(id);
    it(`says of ${name} that it is ${isHere ? 'here' : 'not here yet'}`, () => {
      const code = encode(assemble(`call ${id}\nmov r0, 0\nexit`));
      assert.deepEqual(verifyBare('calls', code, 'uprobe', []).missingHelpers, isHere ? [] : [name]);
    });
  }

  it('takes a million instructions', () => {
    const code = encode([...assemble('mov r0, 0'), ...assemble('mov r0, 0\n'.repeat(999_998)), ...assemble('exit')]);
    const { error, insnsProcessed } = verifyBare('long', code, 'uprobe', []);
    assert.equal(error, undefined);
    assert.equal(insnsProcessed, 1_000_000);
  });
});
