import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex, toHex } from '../../bytes/hex.ts';
import { findWindow, moveWindow } from './window.ts';

const AT = 0x40_1000n;
const bytes = (hex: string) => fromHex(hex)!;
const find = (hex: string, size = bytes(hex).length) => findWindow(bytes(hex), AT, size);

describe('findWindow', () => {
  for (const [why, code, window] of [
    // push rbp; mov rbp,rsp; push r15; ret
    ['takes whole instructions', '55 4889e5 4157 c3', { skip: 0, length: 6 }],
    // nop dword [rax+rax+0]; ret
    ['takes a 5-byte nop', '0f1f440000 c3', { skip: 0, length: 5 }],
    // endbr64; push rbp; mov rbp,rsp; sub rsp,16; ret
    ['leaves endbr64 in place', 'f30f1efa 55 4889e5 4883ec10 c3', { skip: 4, length: 8 }],
    // lea rax,[rdi+rsi]; ret; nop word [cs:rax+rax+0]
    ['uses the padding behind a short function', '488d0437 c3 66662e0f1f840000000000', { skip: 0, length: 5 }],
    // call +0x100; ret
    ['takes a call at the end', 'e8fb000000 c3', { skip: 0, length: 5 }],
  ] as const) {
    it(why, () => assert.deepEqual(find(code), window));
  }

  it('uses padding only behind the function that ends there', () => {
    assert.deepEqual(find('31c0 c3 9090 9090', 3), { skip: 0, length: 5 });
  });

  for (const [why, code, size, reason] of [
    ['a function that other code follows', '31c0 c3 55 4889e5 c3', 3, 'too short'],
    // push rbp; push rbx; push rcx; dec rdi; jne -6 (to push rbx); ret
    ['a loop back into the window', '55 53 51 48ffcf 75f9 c3', 9, 'branch into it'],
    ['a breakpoint of another tool', 'cc 4889e5 5d c3', 6, 'cannot be moved'],
    // call rax; push rbp; push rbx; push rcx
    ['a short call in front', 'ffd0 55 53 51 c3', 6, 'cannot be moved'],
    ['bytes that are no instruction', '06 06 06 06 06 06', 6, 'does not decode'],
  ] as const) {
    it(`refuses ${why}: ${reason}`, () => {
      const found = find(code, size);
      assert.equal('reason' in found && found.reason, reason);
    });
  }
});

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
