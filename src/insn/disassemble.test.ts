import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { assemble } from './assemble.ts';
import { disassemble } from './disassemble.ts';
import { FORMS } from './form.ts';

// Checked with llvm-mc 14 where it knows the instruction; the rest is as later LLVMs print it.
const LINES = [
  ['add %r1, %r2', 'r1 += r2'],
  ['add32 %r1, -5', 'w1 += -5'],
  ['mov32 %r0, 1', 'w0 = 1'],
  ['sdiv %r3, %r4', 'r3 s/= r4'],
  ['smod32 %r3, 2', 'w3 s%= 2'],
  ['arsh %r3, 2', 'r3 s>>= 2'],
  ['neg32 %r3', 'w3 = -w3'],
  ['movsx864 %r1, %r2', 'r1 = (s8)r2'],
  ['movsx1632 %r1, %r2', 'w1 = (s16)w2'],
  ['be16 %r1', 'r1 = be16 r1'],
  ['bswap64 %r1', 'r1 = bswap64 r1'],
  ['lddw %r1, 0x1122334455667788', 'r1 = 0x1122334455667788 ll'],
  ['lddw map_fd %r1, 3', 'r1 = map_fd[0x3]'],
  ['ldxw %r0, [%r1+112]', 'r0 = *(u32 *)(r1 + 112)'],
  ['ldxsb %r0, [%r10-1]', 'r0 = *(s8 *)(r10 - 1)'],
  ['stw [%r10-4], 1', '*(u32 *)(r10 - 4) = 1'],
  ['stxdw [%r10-8], %r1', '*(u64 *)(r10 - 8) = r1'],
  ['stxb [%r10-8], %r1', '*(u8 *)(r10 - 8) = w1'],
  ['lock add [%r1+0], %r2', 'lock *(u64 *)(r1 + 0) += r2'],
  ['lock fetch or32 [%r1+0], %r2', 'w2 = atomic_fetch_or((u32 *)(r1 + 0), w2)'],
  ['lock xchg32 [%r1+0], %r2', 'w2 = xchg32_32(r1 + 0, w2)'],
  ['lock cmpxchg [%r1+0], %r2', 'r0 = cmpxchg_64(r1 + 0, r0, r2)'],
  ['jsgt %r1, 5, +3', 'if r1 s> 0x5 goto +3'],
  ['jset32 %r1, %r2, -3', 'if w1 & w2 goto -3'],
  ['jeq %r1, -1, +0', 'if r1 == 0xffffffff goto +0'],
  ['ja +1', 'goto +1'],
  ['ja32 +0', 'gotol +0'],
  ['call 5', 'call 5'],
  ['call local -2', 'call pc-2'],
  ['call %r2', 'callx r2'],
  ['call kfunc 7, 0', 'call kfunc 7'],
  ['exit', 'exit'],
] as const;

describe('disassemble', () => {
  for (const [assembly, text] of LINES) {
    it(`${assembly} is ${text}`, () => assert.equal(disassemble(assemble(assembly)[0]!), text));
  }

  for (const [assembly, text] of [
    ['call 5', 'call bpf_ktime_get_ns'],
    ['call local +3', 'call helper_4'],
    ['jne %r0, 0, +3', 'if r0 != 0x0 goto +3 <helper_4>'],
    ['ja -1', 'goto -1 <helper_0>'],
    ['lddw map_fd %r1, 3', 'r1 = map 3'],
  ] as const) {
    it(`${assembly} is ${text} for who knows the names`, () => {
      const names = {
        helper: () => 'bpf_ktime_get_ns',
        label: (slot: number) => `helper_${slot}`,
        reference: (insn: { imm: number }) => `map ${insn.imm}`,
      };
      assert.equal(disassemble(assemble(assembly)[0]!, names), text);
    });
  }

  it('gives every form a text of its own', () => {
    const insns = FORMS.filter(({ mnemonic }) => !mnemonic.startsWith('bswap')).map(({ opcode, fixed, operation }) => {
      const insn = { opcode, dst: 1, src: 2, offset: 3, imm: 4, slot: 0, ...fixed };
      return operation.kind === 'lddw' ? { ...insn, imm64: 4n } : insn;
    });
    assert.equal(new Set(insns.map((insn) => disassemble(insn))).size, insns.length);
  });
});
