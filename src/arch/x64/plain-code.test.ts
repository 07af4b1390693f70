import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { fromHex } from '../../bytes/hex.ts';
import { readElf } from '../../elf/elf-file.ts';
import { functionsOf } from '../../elf/functions.ts';
import { iced } from './iced.ts';
import { endsRun } from './move-window.ts';
import { plainLengths } from './plain-code.ts';

describe('plainLengths', () => {
  for (const [why, code, lengths] of [
    ['push rbp; mov rbp,rsp; push r15', '55 4889e5 4157', [1, 3, 2]],
    ['sub rsp,16; mov eax,edi', '4883ec10 89f8', [4, 2]],
    ['adc rdi,16; mov eax,edi', '4883d710 89f8', undefined],
    ['cmove rax,rdi; mov eax,edi', '480f44c7 89f8', undefined],
    ['sete al; mov eax,edi', '0f94c0 89f8', undefined],
    ['lea rax,[rip+16]', '488d0510000000', undefined],
    ['xor eax,eax; ret; nop; nop', '31c0 c3 90 90', undefined],
    ['code that ends', '4889e5', undefined],
  ] as const) {
    it(`${lengths === undefined ? 'leaves' : 'takes'} ${why}`, () => {
      assert.deepEqual(plainLengths(fromHex(code)!, 5), lengths);
    });
  }

  it('takes only what iced-x86 finds plain too, at the beginning of the functions of a whole program', () => {
    const elf = readElf(readFileSync('/proc/self/exe'));
    const { Decoder, DecoderOptions, FlowControl } = iced();
    let taken = 0;
    for (const { value, size } of [...functionsOf(elf)].filter((_, n) => n % 37 === 0)) {
      const code = elf.bytesAt(value, Math.min(size, 32));
      const lengths = plainLengths(code, 5);
      if (lengths === undefined) continue;
      taken++;
      const decoder = new Decoder(64, code, DecoderOptions.None);
      for (const length of lengths) {
        const instruction = decoder.decode();
        const facts = { length: instruction.length, flags: instruction.rflagsRead, flow: instruction.flowControl };
        assert.deepEqual(facts, { length, flags: 0, flow: FlowControl.Next }, `at 0x${value.toString(16)}`);
        assert.ok(!instruction.isInvalid && !instruction.isIpRelMemoryOperand && !endsRun(instruction));
        instruction.free();
      }
      decoder.free();
    }
    assert.ok(taken > 100);
  });
});
