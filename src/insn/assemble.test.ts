import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../bytes/hex.ts';
import { assemble } from './assemble.ts';
import { encode } from './encode.ts';
import { InsnError } from './errors.ts';

// That every form assembles right is shown by tests/conformance; here is what its programs do not use.
describe('assemble', () => {
  for (const [text, hex] of [
    ['add r1, 0x10', '0701000010000000'],
    ['mov32 %r0, 0xffffffff', 'b4000000ffffffff'],
    ['ldxw r1, [ r10 - 8 ]', '61a1f8ff00000000'],
    ['stdw [%r1], -1', '7a010000ffffffff'],
    ['lock fetch xor32 [%r1+4], %r2', 'c3210400a1000000'],
    ['ja -1', '0500ffff00000000'],
    ['ja32 +100000', '06000000a0860100'],
    ['lddw %r1, -1', '18010000ffffffff00000000ffffffff'],
    ['lddw map_fd %r1, 3', '18110000030000000000000000000000'],
    ['call kfunc 7, 1', '8520010007000000'],
    ['here: there: ja here', '0500ffff00000000'],
    ['mov r0, 1 ; one way\nexit # or another', 'b7000000010000009500000000000000'],
    ['jeq r0, 1, exit\nexit\nexit', '150000000100000095000000000000009500000000000000'],
  ] as const) {
    it(`${text.replaceAll('\n', ' / ')} -> ${hex}`, () => assert.equal(toHex(encode(assemble(text))), hex));
  }

  it('counts a lddw as two slots in distances', () => {
    const [jump] = assemble('ja end\nlddw r0, 1\nend: exit');
    assert.equal(jump!.offset, 2);
  });

  for (const [text, code, message] of [
    ['frob r0', 'INSN_UNKNOWN_MNEMONIC', "line 1 'frob r0': there is no instruction 'frob'"],
    ['add r0', 'INSN_BAD_OPERAND', 'wanted dst, imm or dst, src'],
    ['ldxb r0, r1', 'INSN_BAD_OPERAND', 'wanted dst, [src]'],
    ['exit r0', 'INSN_BAD_OPERAND', 'wanted none'],
    ['mov r11, 0', 'INSN_BAD_REGISTER', 'R11'],
    ['mov r0, 2147483648', 'INSN_OUT_OF_RANGE', '2147483648'],
    ['lddw r0, 0x10000000000000000', 'INSN_OUT_OF_RANGE', '0x10000000000000000'],
    ['ldxb r0, [r1+32768]', 'INSN_OUT_OF_RANGE', '-32768 to 32767'],
    ['ja 32768', 'INSN_OUT_OF_RANGE', '32768'],
    ['exit\nja nowhere', 'INSN_UNKNOWN_LABEL', "line 2 'ja nowhere'"],
    ['a: exit\na: exit', 'INSN_DUPLICATE_LABEL', "'a'"],
  ] as const) {
    it(`refuses ${text.replaceAll('\n', ' / ')} with ${code}`, () => {
      assert.throws(
        () => assemble(text),
        (error) => error instanceof InsnError && error.code === code && error.message.includes(message),
      );
    });
  }
});
