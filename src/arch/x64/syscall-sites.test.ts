import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { fromHex } from '../../bytes/hex.ts';
import { CodeMap } from './code-map.ts';
import { findSyscallSites } from './syscall-sites.ts';

const AT = 0x40_1000;

interface Surroundings {
  /** Offsets that something far away leads to. */
  readonly pointers?: readonly number[];
  /** Bytes of the function; all if not given. */
  readonly size?: number;
  /** Where its description begins. */
  readonly described?: number;
}

function find(hex: string, { pointers = [], size, described = 0 }: Surroundings = {}) {
  const code = fromHex(hex)!;
  const map = new CodeMap({
    code: [{ address: AT, bytes: code }],
    data: [],
    functions: [{ start: AT + described, end: AT + (size ?? code.length) }],
    pointers: pointers.map((pointer) => AT + pointer),
  });
  const { sites, refusals } = findSyscallSites(map);
  return {
    sites: sites.map(({ at, ...site }) => ({ at: at - AT, ...site })),
    refused: refusals.map(({ at }) => at - AT),
  };
}

const site = (at: number, number: number | undefined, lead: number, trail: number, keepsFlags = false) => ({
  sites: [{ at, number, lead, trail, keepsFlags }],
  refused: [],
});

describe('findSyscallSites', () => {
  for (const [why, code, found, around] of [
    // endbr64; mov eax,39; syscall; cmp rax,-4096; ja +1; ret
    [
      'takes the number in front and the test behind',
      'f30f1efab827000000 0f05 483d00f0ffff 7701 c3',
      site(9, 39, 5, 6),
    ],
    // cmp [rip],0; xor eax,eax; syscall; ret; nop...
    ['knows that xor makes zero', '803d0000000000 31c0 0f05 c3 660f1f440000', site(9, 0, 9, 7)],
    // mov rax,[rdi]; mov rsi,rdx; syscall; cmp rax,-4096; ret
    ['does not know a number from memory', '488b07 4889d6 0f05 483d00f0ffff c3', site(6, undefined, 6, 6)],
    // mov eax,1; mov al,2; mov rdi,rsi; syscall; ret; nops
    ['does not know a number that changes', 'b801000000 b002 4889f7 0f05 c3 0f1f440000', site(10, undefined, 5, 6)],
    // mov eax,39; call +0; mov rdi,rsi; mov rsi,rdx; syscall; ret; nops
    [
      'does not know a number across a call',
      'b827000000 e800000000 4889f7 4889d6 0f05 c3 0f1f440000',
      site(16, undefined, 6, 6),
    ],
    // mov eax,60; syscall; jmp -9
    ['makes do without anything behind', 'b83c000000 0f05 ebf7 4889f7 c3', site(5, 60, 5, 0, true)],
    // mov eax,39; syscall; adc ecx,0; ret; nops
    ['sees that flags are looked at', 'b827000000 0f05 83d100 c3 0f1f440000', site(5, 39, 5, 9, true)],
    // mov eax,39; syscall; jc +1; ret; ret
    ['takes any branch for somebody who looks', 'b827000000 0f05 7201 c3 c3', site(5, 39, 5, 0, true)],
    // mov eax,39; syscall; test eax,eax; ret, with a jump to the syscall
    [
      'begins on the call itself where something leads to it',
      'b827000000 0f05 85c0 0f1f4000 c3',
      site(5, undefined, 0, 6),
      { pointers: [5] },
    ],
    [
      'displaces the call where something leads behind it',
      'b827000000 0f05 85c0 0f1f4000 c3',
      site(5, 39, 5, 0),
      { pointers: [7] },
    ],
    [
      'knows no number where something leads between it and the call',
      'b827000000 4889f7 0f05 85c0 0f1f4000 c3',
      site(8, undefined, 3, 0),
      { pointers: [5] },
    ],
    // xor edi,edi; mov eax,edx; syscall; jmp -8
    ['lets the jump lie over the call', '31ff 89d0 0f05 ebf8', site(4, undefined, 4, 0, true)],
    // nop; mov rax,15; syscall, described as beginning at the nop
    ['knows the return from signals', '00 48c7c00f000000 0f05 0f1f8000000000', site(8, 15, 7, 7, true)],
    // mov eax,435; syscall behind the end that its description gives; test rax,rax
    ['goes on behind the end of a description', 'b8b3010000 0f05 4885c0 7c01 c3 c3', site(5, 435, 5, 5), { size: 5 }],
  ] as const) {
    it(why, () => assert.deepEqual(find(code, around), found));
  }

  for (const [why, code, around] of [
    // mov eax,0x050f; ret
    ['in a constant', 'b80f050000 c3'],
    // call +0x50f; mov rdi,r12; ret
    ['in a displacement', 'e80f050000 4c89e7 c3'],
    // cmp [rdi+rcx+5],al; ret
    ['in the middle of an instruction', '38440f05 0f1f440000 c3'],
    // ret, and data
    ['behind a return that nothing leads past', 'c3 b827000000 0f05 85c0 0f1f4000 c3'],
    // jmp +2; 0f 05; ret
    ['behind a jump', 'eb02 0f05 0f1f440000 c3'],
    ['outside of all functions', 'c3 b827000000 0f05 85c0 c3', { described: 9 }],
  ] as const) {
    it(`passes by the bytes of a call ${why}`, () => assert.deepEqual(find(code, around), { sites: [], refused: [] }));
  }

  it('refuses a call that is too close between places where something leads', () => {
    assert.deepEqual(find('31ff 89d0 0f05 ebf8', { pointers: [4, 6] }), { sites: [], refused: [4] });
  });

  it('finds code that only a branch back leads to', () => {
    // jmp +13; mov eax,39; syscall; cmp rax,-4096; (landing:) jne -15; ret
    const found = find('eb0d b827000000 0f05 483d00f0ffff 75f1 c3');
    assert.deepEqual(found, site(7, 39, 5, 6));
  });
});
