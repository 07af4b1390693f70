import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { AttachError } from '../errors.ts';
import { parseUsdtArguments } from './usdt-arguments.ts';

const { ax, bx, di, si, bp, sp, r8, ip } = PtRegs.offsetOf;

const AROUND = {
  address: 0x1000n,
  symbol: (name: string) => ({ counter: 0x3000n, 'table.0': 0x800n })[name],
};

const u64 = (number: bigint) => BigInt.asUintN(64, number);

describe('parseUsdtArguments', () => {
  for (const [word, size, signed, place] of [
    ['-4@%edi', 4, true, { in: 'register', register: di }],
    ['8@%rdi', 8, false, { in: 'register', register: di }],
    ['1@%r8b', 1, false, { in: 'register', register: r8 }],
    ['2@%r8w', 2, false, { in: 'register', register: r8 }],
    ['1@%dil', 1, false, { in: 'register', register: di }],
    ['1@%al', 1, false, { in: 'register', register: ax }],
    ['-1@%bh', 1, true, { in: 'register', register: bx + 1 }],
    ['8@%rip', 8, false, { in: 'register', register: ip }],
    ['8@-16(%rbp)', 8, false, { in: 'memory', base: bp, offset: u64(-16n) }],
    ['-2@(%rdi)', 2, true, { in: 'memory', base: di, offset: 0n }],
    ['4@0x1c(%rsp)', 4, false, { in: 'memory', base: sp, offset: 28n }],
    ['-8f@8(%rsp)', 8, true, { in: 'memory', base: sp, offset: 8n }],
    ['4@$5', 4, false, { in: 'constant', value: 5n }],
    ['-4@$-9', 4, true, { in: 'constant', value: u64(-9n) }],
    ['8@$0x10', 8, false, { in: 'constant', value: 16n }],
    ['8@counter(%rip)', 8, false, { in: 'memory', base: ip, offset: 0x2000n }],
    ['4@counter+4(%rip)', 4, false, { in: 'memory', base: ip, offset: 0x2004n }],
    ['4@-4+table.0(%rip)', 4, false, { in: 'memory', base: ip, offset: u64(-0x804n) }],
    ['1@table.0(%rax)', 1, false, { in: 'memory', base: ax, offset: 0x800n }],
    ['-4@8(%rax,%rbx,4)', 4, true, { in: 'memory', base: ax, offset: 8n, index: { register: bx, shift: 2 } }],
    ['1@-96(%rbp,%rax,8)', 1, false, { in: 'memory', base: bp, offset: u64(-96n), index: { register: ax, shift: 3 } }],
    ['8@(%rdi,%rsi)', 8, false, { in: 'memory', base: di, offset: 0n, index: { register: si, shift: 0 } }],
  ] as const) {
    it(`reads ${word}`, () => {
      assert.deepEqual(parseUsdtArguments(word, AROUND), [{ word, size, signed, ...place }]);
    });
  }

  it('keeps the order', () => {
    const read = parseUsdtArguments(' 4@$1 4@$2  4@$3', AROUND);
    assert.deepEqual(
      read.map((argument) => argument.in === 'constant' && argument.value),
      [1n, 2n, 3n],
    );
    assert.deepEqual(parseUsdtArguments('', AROUND), []);
  });

  for (const [word, why] of [
    ['8@%xmm0', /xmm0 is a vector register/],
    ['-8f@%ymm12', /ymm12 is a vector register/],
    ['4@%eflags', /no register is called eflags/],
    ['8@%fs:-8', /relative to the segment fs/],
    ['8@%gs:8(%rax)', /relative to the segment gs/],
    ['8@unknown(%rip)', /unknown is no number, and no symbol/],
    ['8@16(%rip)', /relative to an instruction/],
    ['8@counter', /wanted %REGISTER/],
    ['8@(,%rax,8)', /wanted %REGISTER/],
    ['8@(%rdi,%rsi,3)', /its scale is 3/],
    ['8@(%rdi,%rsp)', /rsp cannot be an index/],
    ['8@(%edi)', /the address is in edi/],
    ['8@(%rdi,%r8d,2)', /the address is in r8d/],
    ['3@%edi', /wanted SIZE@OPERAND/],
    ['16@%rdi', /wanted SIZE@OPERAND/],
    ['4@', /wanted SIZE@OPERAND/],
    ['4@$x', /x is no number/],
    ['4@$counter', /counter is no number/],
  ] as const) {
    it(`refuses ${word}`, () => {
      assert.throws(
        () => parseUsdtArguments(`4@$1 ${word}`, AROUND),
        (error) =>
          error instanceof AttachError &&
          error.code === 'ATTACH_USDT_ARGUMENT' &&
          error.message.startsWith(`cannot find argument '${word}'`) &&
          why.test(error.message),
      );
    });
  }
});
