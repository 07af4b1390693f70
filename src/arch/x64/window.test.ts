import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../bytes/hex.ts';
import { CodeMap } from './code-map.ts';
import { findWindow } from './window.ts';

const AT = 0x40_1000;

interface Surroundings {
  /** Where in the function the probe is to be. */
  readonly offset?: number;
  /** The function's bytes of those given; all if not given. */
  readonly size?: number;
  /** Pointers in data, as offsets from the function. */
  readonly pointers?: readonly number[];
  /** Other functions: offsets from this one. */
  readonly others?: readonly (readonly [start: number, end: number])[];
  /** Bytes in front of the function. */
  readonly front?: string;
}

function find(hex: string, { offset = 0, size, pointers = [], others = [], front = '' }: Surroundings = {}) {
  const code = fromHex(front + hex)!;
  const before = fromHex(front)!.length;
  const range = { start: AT, end: AT + (size ?? code.length - before) };
  const map = new CodeMap({
    code: [{ address: AT - before, bytes: code }],
    data: [],
    functions: [range, ...others.map(([start, end]) => ({ start: AT + start, end: AT + end }))],
    pointers: pointers.map((pointer) => AT + pointer),
  });
  return findWindow(map, AT + offset, range);
}

const near = (skip: number, length: number) => ({ skip, lead: 0, length, islands: undefined, readsFlags: false });

describe('findWindow', () => {
  for (const [why, code, window] of [
    // push rbp; mov rbp,rsp; push r15; ret
    ['takes whole instructions', '55 4889e5 4157 c3', near(0, 6)],
    // nop dword [rax+rax+0]; ret
    ['takes a 5-byte nop', '0f1f440000 c3', near(0, 5)],
    // endbr64; push rbp; mov rbp,rsp; sub rsp,16; ret
    ['leaves endbr64 in place', 'f30f1efa 55 4889e5 4883ec10 c3', near(4, 8)],
    // call +0x100; ret
    ['takes a call at the end', 'e8fb000000 c3', near(0, 5)],
    // mov rax,[rdi]; call [rax+8]; ret
    ['takes an indirect call at the end', '488b07 ff5008 c3', near(0, 6)],
    // mov edi,edi; push rbp; mov rbp,rsp; ret
    ['takes a hot-patch prologue', '8bff 55 4889e5 c3', near(0, 6)],
    // vmovdqu ymm0,[rsi]; vmovdqu64 zmm1,[rsi+64]; ret
    ['takes vector instructions', 'c5fe6f06 62f1fe486f4e01 c3', near(0, 11)],
    // jrcxz +3; mov rax,rdi; ret
    ['takes a jrcxz', 'e303 4889f8 c3', near(0, 5)],
  ] as const) {
    it(why, () => assert.deepEqual(find(code), window));
  }

  it('begins in front where something leads right behind', () => {
    // test sil,1; je +1 (behind the nop); nop; lea rax,[rdi+rsi]; ret
    const code = '40f6c601 7401 90 488d0437 c3';
    assert.deepEqual(find(code, { offset: 6 }), { ...near(0, 7), lead: 6 });
    // nothing may lead to the place itself then
    const found = find(code, { offset: 6, pointers: [6] });
    assert.equal('reason' in found && found.reason, 'branch into it');
  });

  it('uses the padding behind a short function', () => {
    // lea rax,[rdi+rsi]; ret; nop word [cs:rax+rax+0]
    assert.deepEqual(find('488d0437 c3 66662e0f1f840000000000', { size: 5 }), near(0, 5));
    assert.deepEqual(find('31c0 c3 9090 9090', { size: 3 }), near(0, 5));
  });

  it('begins at any instruction', () => {
    // push rbp; mov rbp,rsp; mov eax,edi; imul eax,esi; pop rbp; ret
    const code = '55 4889e5 89f8 0faff7 5d c3';
    assert.deepEqual(find(code, { offset: 1 }), near(0, 5));
    assert.deepEqual(find(code, { offset: 4 }), near(0, 5));
  });

  for (const [why, code, around, reason] of [
    ['a function that other code follows', '31c0 c3 55 4889e5 c3', { size: 3 }, 'too short'],
    // push rbp; push rbx; push rcx; dec rdi; jne -6 (to push rbx); ret
    ['a loop back into the window', '55 53 51 48ffcf 75f9 c3', {}, 'branch into it'],
    // push rbp; push rbx; push rcx; push rdx; push rsi; ... from elsewhere: jmp -12 (rel32, to push rcx)
    ['a far branch from another function', '55 53 51 52 56 c3 e9f7ffffff', { size: 6 }, 'branch into it'],
    ['a pointer into the window', '55 53 51 52 56 c3', { pointers: [3] }, 'branch into it'],
    ['a breakpoint of another tool', 'cc 4889e5 5d c3', {}, 'cannot be moved'],
    // call rax; push rbp; push rbx; push rcx
    ['a short call in front', 'ffd0 55 53 51 c3', {}, 'cannot be moved'],
    // call [rsp-8]; ret
    ['a call through what it overwrites', 'ff5424f8 c3', {}, 'cannot be moved'],
    ['bytes that are no instruction', '06 06 06 06 06 06', {}, 'does not decode'],
    ['the middle of an instruction', '55 4889e5 5d c3', { offset: 2 }, 'not an instruction'],
    ['a place behind the function', '55 4889e5 5d c3 90 90', { offset: 6, size: 6 }, 'not in the function'],
    ['padding that a label names', '31c0 c3 9090 9090', { size: 3, pointers: [4] }, 'branch into it'],
  ] as const) {
    it(`refuses ${why}: ${reason}`, () => {
      const found = find(code, around);
      assert.equal('reason' in found && found.reason, reason);
    });
  }

  describe('by way of padding', () => {
    // xor eax,eax; ret | the next function
    const SHORT = '31c0 c3 55 53 51 52 56 5e 5a 59 5b 5d c3';
    const NEXT = [3, 14] as const;

    it('uses what lies behind the next function', () => {
      const found = find(`${SHORT} 660f1f840000000000 55 c3`, { size: 3, others: [NEXT, [23, 25]] });
      assert.deepEqual(found, { skip: 0, lead: 0, length: 2, islands: [AT + 14], readsFlags: false });
    });

    it('uses what lies in front', () => {
      const around = { size: 3, others: [[-14, -8], NEXT] as const, front: '55 4889e5 5d c3 0f1f840000000000' };
      assert.deepEqual(find(SHORT, around), { skip: 0, lead: 0, length: 2, islands: [AT - 8], readsFlags: false });
    });

    it('leaves two bytes alone that something leads between', () => {
      const around = { size: 3, others: [NEXT, [23, 25]] as const, pointers: [1] };
      const found = find(`55 53 c3 ${SHORT.slice(8)} 660f1f840000000000 55 c3`, around);
      assert.equal('reason' in found && found.reason, 'too short');
    });

    for (const [why, behind, pointers] of [
      ['code', '9090909031c09090 90 55 c3', []],
      ['padding that a pointer names', '660f1f840000000000 55 c3', [16]],
      ['too little padding', '0f1f4000 55 c3', []],
    ] as const) {
      it(`does not take ${why}`, () => {
        const start = 14 + (behind.startsWith('0f1f40') ? 4 : 9);
        const found = find(`${SHORT} ${behind}`, { size: 3, others: [NEXT, [start, start + 2]], pointers });
        assert.equal('reason' in found && found.reason, 'too short');
      });
    }
  });

  it('says that flags are made use of', () => {
    // adc rax,rdi; adc rdx,rsi; ret   and   add rax,rdi; adc rdx,rsi; ret
    assert.deepEqual(find('4811f8 4811f2 c3'), { ...near(0, 6), readsFlags: true });
    assert.deepEqual(find('4801f8 4811f2 c3'), near(0, 6));
  });

  it('goes by instructions, not by bytes that look like a branch', () => {
    // push rbp; push rbx; push rcx; push rdx; push rsi; mov al,0x75; mov cl,... : 75 f9 lies inside an instruction
    assert.deepEqual(find('55 53 51 52 56 66b875f9 c3'), near(0, 5));
  });
});
