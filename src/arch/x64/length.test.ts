/** The length decoder against iced-x86: on the code of real libraries, and on random bytes. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { iced } from './iced.ts';
import { Kind, LengthDecoder } from './length.ts';

/** Bytes with the assembly beside them: length, kind and, of branches, how far behind the instruction they lead. */
const CASES = [
  ['ret', 'c3', Kind.OTHER],
  ['push rbp', '55', Kind.PLAIN],
  ['mov rax, imm64', '48b88877665544332211', Kind.PLAIN],
  ['mov ax, imm16', '66b82211', Kind.PLAIN],
  ['mov rax, [rsp+8]', '488b442408', Kind.PLAIN],
  ['mov eax, [rbp*4+0x11223344]', '8b04ad44332211', Kind.PLAIN],
  ['mov rax, [rip+0x11223344]', '488b0544332211', Kind.RELATIVE],
  ['cmp byte [rip+0x11223344], 5', '803d4433221105', Kind.RELATIVE],
  ['test byte [rdi], 1', 'f60701', Kind.PLAIN],
  ['not byte [rdi]', 'f617', Kind.PLAIN],
  ['test word [rdi], 0x1122', '66f7072211', Kind.PLAIN],
  ['jne +5', '7505', Kind.BRANCH],
  ['call +5', 'e805000000', Kind.BRANCH],
  ['jae +5', '0f8305000000', Kind.BRANCH],
  ['jrcxz +5', 'e305', Kind.BRANCH],
  ['call rax', 'ffd0', Kind.OTHER],
  ['jmp [rip+5]', 'ff2505000000', Kind.OTHER],
  ['push [rdi]', 'ff37', Kind.PLAIN],
  ['syscall', '0f05', Kind.OTHER],
  ['int3', 'cc', Kind.OTHER],
  ['ud2', '0f0b', Kind.OTHER],
  ['endbr64', 'f30f1efa', Kind.PLAIN],
  ['pshufb xmm0, xmm1', '660f3800c1', Kind.PLAIN],
  ['palignr xmm0, [rdi], 4', '660f3a0f0704', Kind.PLAIN],
  ['vzeroupper', 'c5f877', Kind.PLAIN],
  ['vpshufd ymm0, [rdi], 3', 'c5fd700703', Kind.PLAIN],
  ['vpermq ymm0, ymm1, 3', 'c4e3fd00c103', Kind.PLAIN],
  ['vmovdqu64 zmm0, [rip+5]', '62f1fe486f0505000000', Kind.RELATIVE],
] as const;

/** Code that every machine with these tests has. */
const BINARIES = [process.execPath, '/lib/x86_64-linux-gnu/libc.so.6', '/usr/lib/x86_64-linux-gnu/libstdc++.so.6'];
const SAMPLE = 1 << 20;

describe('LengthDecoder', () => {
  for (const [assembly, hex, kind] of CASES) {
    it(`knows ${assembly}`, () => {
      const code = Buffer.from(hex, 'hex');
      const decoder = new LengthDecoder(code);
      assert.equal(decoder.decode(0), code.length);
      assert.equal(decoder.kind, kind);
      if (kind === Kind.BRANCH) assert.equal(decoder.target, code.length + 5);
      for (let cut = 1; cut < code.length; cut++) {
        assert.equal(new LengthDecoder(code.subarray(0, cut)).decode(0), 0, `cut after ${cut} bytes`);
      }
    });
  }

  for (const path of BINARIES) {
    it(`agrees with iced-x86 on ${path}`, { skip: !exists(path) && 'there is no such file' }, () => {
      const file = readFileSync(path);
      const from = Math.floor(file.length / 3);
      compare(file.subarray(from, from + SAMPLE));
    });
  }

  it('gives the length that iced-x86 gives to random bytes, or none', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 400 }), (code) => {
        compare(code);
      }),
      { numRuns: 500 },
    );
  });
});

/** Where both know an instruction they must agree, and on what is plain there is no doubt; gives how much only iced knows. */
function compare(code: Uint8Array): number {
  const { Decoder, DecoderOptions, FlowControl, Instruction } = iced();
  const theirs = new Decoder(64, code, DecoderOptions.None);
  const ours = new LengthDecoder(code);
  const instruction = new Instruction();
  let unknown = 0;
  for (let at = 0; at < code.length; at += instruction.length) {
    theirs.decodeOut(instruction);
    const length = ours.decode(at);
    if (instruction.isInvalid) continue;
    if (length === 0) {
      unknown++;
      continue;
    }
    const { kind, target } = ours;
    const context = () => `${Buffer.from(code.subarray(at, at + 15)).toString('hex')} at ${at}`;
    if (length !== instruction.length) assert.equal(length, instruction.length, context());
    const { flowControl, isIpRelMemoryOperand } = instruction;
    const isPlain = flowControl === FlowControl.Next && !isIpRelMemoryOperand;
    if (kind === Kind.PLAIN && !isPlain) assert.fail(`${context()} is not plain`);
    const near = Number(BigInt.asIntN(64, instruction.nearBranchTarget));
    if (kind === Kind.BRANCH ? target !== near : near !== 0) assert.equal(target, near, context());
  }
  instruction.free();
  theirs.free();
  return unknown;
}

function exists(path: string): boolean {
  try {
    return readFileSync(path).length > 0;
  } catch {
    return false;
  }
}
