import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../bytes/hex.ts';
import { moveWindow } from './move-window.ts';

const AT = 0x40_1000n;
const bytes = (hex: string) => fromHex(hex)!;

describe('moveWindow', () => {
  const TO = 0x50_0000n;

  it('keeps what does not depend on its address, and tells where each instruction went', () => {
    const moved = moveWindow(bytes('55 4889e5 4157'), AT, TO);
    assert.equal(toHex(moved.bytes), '554889e54157');
    assert.deepEqual(
      [...moved.moves],
      [
        [AT, TO],
        [AT + 1n, TO + 1n],
        [AT + 4n, TO + 4n],
      ],
    );
    assert.equal(moved.fallsThrough, true);
  });

  it('adjusts an operand relative to rip', () => {
    // lea rax, [rip+0x10] at 0x401000 names 0x401017
    const moved = moveWindow(bytes('488d0510000000'), AT, TO);
    assert.equal(toHex(moved.bytes), '488d05' + '1010f0ff');
  });

  it('turns a call into a push of the original return address and a jump', () => {
    const moved = moveWindow(bytes('e8fb000000'), AT, TO);
    assert.equal(
      toHex(moved.bytes),
      '488d6424f8' + //          lea rsp, [rsp-8]
        'c7042405104000' + //    mov dword [rsp], 0x401005
        'c744240400000000' + //  mov dword [rsp+4], 0
        'e9e710f0ff', //         jmp 0x401100
    );
    assert.equal(moved.fallsThrough, false);
  });

  for (const [call, jump] of [
    ['ffd0', 'ffe0'], //                 call rax
    ['41ff5310', '41ff6310'], //         call [r11+16]
    ['ff542408', 'ff642410'], //   call [rsp+8], which is [rsp+16] once the return address is pushed
    ['ff1510000000', 'ff25fc0ff0ff'], //       call [rip+16]
  ] as const) {
    it(`turns the indirect call ${call} into a jump`, () => {
      const moved = moveWindow(bytes(call), AT, TO);
      const push = 5 + 7 + 8;
      assert.equal(toHex(moved.bytes.subarray(0, push)).slice(0, 16), '488d6424f8c70424');
      assert.equal(toHex(moved.bytes.subarray(push)).slice(0, jump.length), jump);
      assert.equal(moved.fallsThrough, false);
    });
  }

  it('carries the loops of one byte further', () => {
    // jrcxz +0x20: over a jump that is taken if rcx is not zero
    assert.equal(toHex(moveWindow(bytes('e320'), AT, TO).bytes), 'e302eb05e9' + '1910f0ff');
  });

  it('widens a short branch', () => {
    // je +0x20; then 3 bytes of nop
    const moved = moveWindow(bytes('7420 0f1f00'), AT, TO);
    assert.equal(toHex(moved.bytes).slice(0, 12), '0f841c10f0ff');
  });

  it('knows that a return does not fall through', () => {
    assert.equal(moveWindow(bytes('31c0 c3'), AT, TO).fallsThrough, false);
  });

  it('refuses what cannot reach from there', () => {
    assert.throws(() => moveWindow(bytes('488d0510000000'), 0x7f00_0000_0000n, 0x7e00_0000_0000n), RangeError);
  });
});
