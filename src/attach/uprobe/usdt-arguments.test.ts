import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PtRegs } from '../../arch/x64/pt-regs.ts';
import { AttachError } from '../errors.ts';
import { layOutUsdtSpec } from './usdt-arguments.ts';

const { di, bp, r8 } = PtRegs.offsetOf;

describe('layOutUsdtSpec', () => {
  for (const [word, number, type, register, isSigned, shift] of [
    ['-4@%edi', 0n, 1, di, 1, 32],
    ['8@%rdi', 0n, 1, di, 0, 0],
    ['1@%r8b', 0n, 1, r8, 0, 56],
    ['2@%r8w', 0n, 1, r8, 0, 48],
    ['8@-16(%rbp)', 0xffff_ffff_ffff_fff0n, 2, bp, 0, 0],
    ['-2@(%rdi)', 0n, 2, di, 1, 48],
    ['4@$5', 5n, 0, 0, 0, 32],
    ['-8@$-1', 0xffff_ffff_ffff_ffffn, 0, 0, 1, 0],
    ['8@$0x10', 16n, 0, 0, 0, 0],
  ] as const) {
    it(`reads ${word}`, () => {
      const bytes = layOutUsdtSpec(word, 0n);
      const view = new DataView(bytes.buffer);
      assert.equal(bytes.length, 208);
      assert.deepEqual(
        [view.getBigUint64(0, true), view.getUint32(8, true), view.getUint16(12, true), bytes[14], bytes[15]],
        [number, type, register, isSigned, shift],
      );
      assert.equal(view.getUint16(200, true), 1);
    });
  }

  it('keeps the order, the number and the cookie', () => {
    const view = new DataView(layOutUsdtSpec('4@$1 4@$2  4@$3', 9n).buffer);
    assert.deepEqual(
      [0, 16, 32, 192].map((at) => view.getBigUint64(at, true)),
      [1n, 2n, 3n, 9n],
    );
    assert.equal(view.getUint16(200, true), 3);
    assert.equal(new DataView(layOutUsdtSpec('', 0n).buffer).getUint16(200, true), 0);
  });

  for (const args of [
    '8@%xmm0',
    '8@counter(%rip)',
    '3@%edi',
    '4@',
    '8@(%rdi,%rsi,8)',
    '4@$x',
    Array(13).fill('4@$1').join(' '),
  ]) {
    it(`refuses '${args.slice(0, 20)}'`, () => {
      assert.throws(
        () => layOutUsdtSpec(args, 0n),
        (error) => error instanceof AttachError && error.code === 'ATTACH_USDT_ARGUMENT',
      );
    });
  }
});
