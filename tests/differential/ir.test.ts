/** Random programs: the interpreter against the IR, as translated and as optimised, evaluated without a processor. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { MEMORY_ENTRY } from '../../src/compile/entry.ts';
import { translateProgram } from '../../src/compile/program.ts';
import { findProblems } from '../../src/ir/check.ts';
import { optimize } from '../../src/ir/passes/optimize.ts';
import type { IrFunction } from '../../src/ir/value.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { bareOptions, checkBare } from '../support/compiling.ts';
import { evaluate, regions } from '../support/ir-evaluator.ts';
import { randomProgram } from '../support/random-program.ts';

const COUNT = Number(process.env.REMORA_DIFFERENTIAL ?? 2000);
const MEMORY = 0x3000_0000_0000n;
const SIZES = [10, 30, 80, 300] as const;

function run(fn: IrFunction, memory: Uint8Array): bigint {
  const args = [MEMORY, BigInt(memory.length)];
  return evaluate(fn, { args, memory: regions({ address: MEMORY, bytes: memory }) });
}

it(`gives ${COUNT} random programs the same result in the interpreter, translated and optimised`, () => {
  for (let seed = 1; seed <= COUNT; seed++) {
    const { insns, memory } = randomProgram(seed, SIZES[seed % SIZES.length]!);
    const program = checkBare(insns);
    const expectedMemory = memory.slice();
    const expected = new Interpreter(program).run(expectedMemory);

    const fn = translateProgram(program, MEMORY_ENTRY, bareOptions());
    for (const stage of ['translated', 'optimised'] as const) {
      if (stage === 'optimised') optimize(fn);
      const where = `seed ${seed}, ${stage}`;
      assert.deepEqual(findProblems(fn), [], where);
      const actualMemory = memory.slice();
      assert.equal(run(fn, actualMemory), expected, where);
      assert.deepEqual(actualMemory, expectedMemory, where);
    }
  }
});
