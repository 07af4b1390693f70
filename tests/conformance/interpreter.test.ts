/** The bpf_conformance suite on our assembler, decoder and interpreter. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from '../../src/insn/assemble.ts';
import { decode } from '../../src/insn/decode.ts';
import { encode } from '../../src/insn/encode.ts';
import type { Insn } from '../../src/insn/insn.ts';
import { bareProgram } from '../../src/verifier/bare-program.ts';
import { checkStructure } from '../../src/verifier/check-structure.ts';
import { Interpreter } from '../../src/vm/interpreter.ts';
import { CONFORMANCE_CASES, CONFORMANCE_HELPERS, NEGATIVE_CASES, readDataFile } from '../support/conformance-cases.ts';

function interpret(name: string, insns: readonly Insn[], memory: Uint8Array): bigint {
  const helpers = CONFORMANCE_HELPERS;
  const program = checkStructure(bareProgram(name, insns), { helpers, arguments: 2 });
  return new Interpreter(program, { helpers, stepLimit: 100_000 }).run(memory);
}

describe('bpf_conformance', () => {
  it('has 313 cases', () => assert.equal(CONFORMANCE_CASES.length, 313));

  for (const { name, assembly, code, memory, expected } of CONFORMANCE_CASES) {
    it(`assembles ${name} to the suite's bytes, and the interpreter gives the suite's result`, () => {
      assert.deepEqual(encode(assemble(assembly)), code);
      assert.deepEqual(encode(decode(code)), code);
      assert.equal(interpret(name, decode(code), memory.slice()), expected);
    });
  }
});

/** What refuses each negative case: a code of ours, or what is wrong with the file itself. */
const REFUSALS: Readonly<Record<string, string>> = {
  empty: 'no program',
  empty_instructions: 'no program',
  error: 'VERIFIER_UNINITIALIZED', // it reads r0 first
  // This one tests the suite's runner: the program is good, the result in the file is not what it returns.
  incorrect_return_value_high_bits: 'another result',
  invalid_imm32_dec_range: 'INSN_OUT_OF_RANGE',
  invalid_imm32_hex_range: 'INSN_OUT_OF_RANGE',
  invalid_label: 'INSN_UNKNOWN_LABEL',
  invalid_lock: 'INSN_BAD_OPERAND',
  invalid_lock2: 'INSN_UNKNOWN_MNEMONIC',
  invalid_mnemonic: 'INSN_UNKNOWN_MNEMONIC',
  invalid_offset: 'INSN_BAD_OPERAND',
  invalid_offset_range: 'INSN_OUT_OF_RANGE',
  invalid_operand_count: 'INSN_BAD_OPERAND',
  invalid_register: 'INSN_BAD_REGISTER',
  // This one tests the suite's runner too: the file has a section that does not exist.
  invalid_unknown_directive: 'unknown section',
};

/** What becomes of a negative case, in the words of the table. */
function outcome(name: string, text: string): string {
  try {
    const { assembly, code, memory, expected } = readDataFile(text);
    if (assembly === undefined && code === undefined) return 'no program';
    const result = interpret(name, code === undefined ? assemble(assembly!) : decode(code), memory);
    return result === expected ? 'passed' : 'another result';
  } catch (error) {
    return (error as { code?: string }).code ?? (error as Error).message;
  }
}

describe('bpf_conformance, negative cases', () => {
  it('has 60 cases', () => assert.equal(NEGATIVE_CASES.size, 60));

  for (const [name, text] of NEGATIVE_CASES) {
    const expected = name.startsWith('unused-') ? 'INSN_RESERVED_FIELD' : REFUSALS[name];
    it(`${name} comes to ${expected}`, () => assert.ok(outcome(name, text).startsWith(`${expected}`)));
  }
});
