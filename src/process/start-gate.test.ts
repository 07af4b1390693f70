import assert from 'node:assert/strict';
import { it } from 'node:test';
import { disassemble } from '../arch/x64/disassemble.ts';
import { viewOf } from '../bytes/struct.ts';
import { UserRegs } from '../sys/ptrace.ts';
import { STUB_CAPACITY, stubSize } from './call-stub.ts';
import { behindGate, makeStartGate, PUSHED_SIZE } from './start-gate.ts';

const PLACE = { end: 0x8000n, capacity: STUB_CAPACITY.LEAST };
const GO_ON = 0x7f00_1234_5678n;

function listing(bytes: Uint8Array, start: bigint): string[] {
  const lines = disassemble(bytes, start).map(({ text }) => text);
  return lines.slice(0, lines.findIndex((line) => line.startsWith('jmp')) + 1);
}

it('a gate makes one call that does nothing, and changes no register', () => {
  const { bytes, start, calls } = makeStartGate(PLACE, GO_ON);
  assert.deepEqual(listing(bytes, start), [
    ...['push rax', 'push rcx', 'push r11', 'push rdi'],
    ...['mov edi, -1', 'mov eax, 3', 'syscall'],
    ...['pop rdi', 'pop r11', 'pop rcx', 'pop rax', 'jmp qword ptr [0x7fd8]'],
  ]);
  assert.equal(bytes[Number(calls - start) - 1], 0x05, 'behind the syscall');
});

it('a gate puts back what led to it', () => {
  const { bytes, start } = makeStartGate(PLACE, GO_ON, { address: 0x7fff_0000_1000n, value: GO_ON });
  assert.deepEqual(listing(bytes, start).slice(4, 7), [
    'mov rdi, 0x7fff00001000',
    `mov rax, 0x${GO_ON.toString(16)}`,
    'mov [rdi], rax',
  ]);
});

it('a gate that was left is found as stubs are', () => {
  assert.equal(stubSize(makeStartGate(PLACE, GO_ON).bytes), STUB_CAPACITY.LEAST);
});

it('behind the gate registers are what they were in front of it', () => {
  const held = UserRegs.read(new Uint8Array(UserRegs.size));
  const pushed = new Uint8Array(PUSHED_SIZE);
  [4n, 3n, 2n, 1n].forEach((value, n) => {
    viewOf(pushed).setBigUint64(n * 8, value, true);
  });
  const { rax, rcx, r11, rdi, rsp, rip, origRax } = behindGate({ ...held, rsp: 0x1000n, rax: 9n }, pushed, GO_ON);
  assert.deepEqual([rax, rcx, r11, rdi, rsp, rip], [1n, 2n, 3n, 4n, 0x1020n, GO_ON]);
  assert.equal(BigInt.asIntN(64, origRax), -1n);
});
