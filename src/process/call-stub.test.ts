import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { iced } from '../arch/x64/iced.ts';
import { viewOf } from '../bytes/struct.ts';
import { UserRegs } from '../sys/ptrace.ts';
import { isStub, makeStub, STUB_NAME, STUB_SIZE, StubEntry } from './call-stub.ts';

const AT = 0x7000n;

/** Distinct values in all registers. */
const values = new Uint8Array(UserRegs.size);
for (let i = 0; i < UserRegs.size / 8; i++) viewOf(values).setBigUint64(i * 8, 0x1111n * BigInt(i + 1), true);
const REGISTERS = UserRegs.read(values);

describe('the call stub', () => {
  const stub = makeStub(REGISTERS);

  it('is what its listing says', () => {
    const { Decoder, DecoderOptions, Formatter, FormatterSyntax } = iced();
    const decoder = new Decoder(64, stub.subarray(0, 88), DecoderOptions.None);
    decoder.ip = AT;
    const formatter = new Formatter(FormatterSyntax.Intel);
    const lines = decoder.decodeAll().map((instruction) => formatter.format(instruction));
    assert.deepEqual(lines.slice(0, 7), [
      'syscall',
      'mov r8d,eax',
      'jmp short 0000000000007009h',
      'syscall',
      'mov edi,r8d',
      'mov eax,3',
      'syscall',
    ]);
    const restored = ['rax', 'rcx', 'r11', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9'];
    assert.deepEqual(lines.slice(7), [
      ...restored.map((name, i) => `mov ${name},[${(0x7058 + i * 8).toString(16).toUpperCase()}h]`),
      'jmp qword ptr [70A0h]',
    ]);
    restored.forEach((name, i) => {
      assert.equal(viewOf(stub).getBigUint64(0x58 + i * 8, true), REGISTERS[name as 'rax']);
    });
    assert.equal(viewOf(stub).getBigUint64(0xa0, true), REGISTERS.rip);
  });

  it('has its entries at system calls', () => {
    for (const entry of Object.values(StubEntry)) assert.deepEqual([...stub.subarray(entry, entry + 2)], [0x0f, 0x05]);
  });

  it('ends with the name of the memory file', () => {
    assert.equal(Buffer.from(stub.subarray(STUB_NAME)).toString('latin1'), 'remora\0\0');
    assert.equal(stub.length, STUB_SIZE);
  });

  it('is known by its code, whatever registers it restores', () => {
    assert.ok(isStub(stub));
    assert.ok(isStub(makeStub({ ...REGISTERS, rip: 0n, rax: 7n })));
    assert.ok(!isStub(stub.subarray(1)));
    assert.ok(!isStub(new Uint8Array(STUB_SIZE)));
  });
});
