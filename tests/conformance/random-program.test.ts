/** The generator of random programs keeps its promises; the engines rely on them. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { FORMS, formOf } from '../../src/insn/form.ts';
import { bareProgram } from '../../src/verifier/bare-program.ts';
import { checkStructure } from '../../src/verifier/check-structure.ts';
import { Interpreter, type InterpreterOptions } from '../../src/vm/interpreter.ts';
import { randomProgram } from '../support/random-program.ts';

const SEEDS = Array.from({ length: 2000 }, (_, seed) => seed);

function result(seed: number, options: InterpreterOptions = {}): { r0: bigint; memory: Uint8Array } {
  const { insns, memory } = randomProgram(seed, 30);
  const program = checkStructure(bareProgram(`seed ${seed}`, insns), {
    helpers: new Map(),
    arguments: 2,
  });
  return { r0: new Interpreter(program, { stepLimit: 100_000, ...options }).run(memory), memory };
}

describe('random programs', () => {
  it('are valid, end, and do the same wherever their memory and stack lie', () => {
    const elsewhere = { memoryAddress: 0x7f12_3456_7008n, stackAddress: 0x5555_5000_0010n };
    for (const seed of SEEDS) assert.deepEqual(result(seed), result(seed, elsewhere), `seed ${seed}`);
  });

  it('are the same for the same seed', () => assert.deepEqual(randomProgram(7, 30), randomProgram(7, 30)));

  it('use every instruction that stands for itself', () => {
    const used = new Set(SEEDS.flatMap((seed) => randomProgram(seed, 30).insns.map((insn) => formOf(insn))));
    const unused = FORMS.filter((form) => !used.has(form)).map(({ mnemonic }) => mnemonic);
    const expected = FORMS.filter(({ mnemonic }) => /^(lddw .*|call|call kfunc|may_goto|bswap\d+)$/.test(mnemonic));
    assert.deepEqual(
      unused,
      expected.map(({ mnemonic }) => mnemonic),
    );
  });
});
