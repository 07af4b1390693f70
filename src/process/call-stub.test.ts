import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { iced } from '../arch/x64/iced.ts';
import { viewOf } from '../bytes/struct.ts';
import { UserRegs } from '../sys/ptrace.ts';
import { makeStub, type RemoteCall, readOutcome, STUB_CAPACITY, stubSize, waitingAddress } from './call-stub.ts';

const END = 0x8000n;

/** Distinct values in all registers. */
const values = new Uint8Array(UserRegs.size);
for (let i = 0; i < UserRegs.size / 8; i++) viewOf(values).setBigUint64(i * 8, 0x1111n * BigInt(i + 1), true);
const REGISTERS = UserRegs.read(values);

const CALLS: readonly RemoteCall[] = [
  { name: 'mmap', args: [0x1234_5678_9000n, 4096, 3, 0x22, -1, 0], wanted: 0x1234_5678_9000n },
  { name: 'memfd_create', args: ['name', 3] },
  { name: 'mmap', args: [0, 8192, 3, 1, 'file', 0] },
  { name: 'close', args: ['file'] },
];

const place = (capacity: number) => ({ end: END, capacity });

/** Its instructions up to the data. Zeros lie between the calls and the end, and no instruction begins with one. */
function instructionsOf(bytes: Uint8Array, start: bigint) {
  const { Code, Decoder, DecoderOptions } = iced();
  const decoder = new Decoder(64, bytes, DecoderOptions.None);
  const all = [];
  while (all.at(-1)?.code !== Code.Jmp_rm64) {
    while (bytes[decoder.position] === 0) decoder.position++;
    decoder.ip = start + BigInt(decoder.position);
    all.push(decoder.decode());
  }
  return all;
}

function listing(bytes: Uint8Array, start: bigint): string[] {
  const { Formatter, FormatterSyntax } = iced();
  const formatter = new Formatter(FormatterSyntax.Intel);
  return instructionsOf(bytes, start).map((instruction) => formatter.format(instruction));
}

describe('the call stub', () => {
  const { bytes, start, count } = makeStub(place(STUB_CAPACITY.WANTED), REGISTERS, CALLS);

  it('is what its listing says', () => {
    assert.equal(count, CALLS.length);
    assert.deepEqual(listing(bytes, start), [
      'mov ebp,0',
      ...[
        'mov rdi,123456789000h',
        'mov esi,1000h',
        'mov edx,3',
        'mov r10d,22h',
        'mov r8,0FFFFFFFFFFFFFFFFh',
        'mov r9d,0',
      ],
      ...['mov eax,9', 'syscall'],
      ...['mov rcx,0FFFFEDCBA9877000h', 'lea rcx,[rax+rcx]', 'jrcxz 0000000000007E08h', 'jmp 0000000000007EECh'],
      ...['mov ebp,1', 'lea rdi,[7FF8h]', 'mov esi,3', 'mov eax,13Fh', 'syscall'],
      ...['cqo', 'mov rcx,rdx', 'jrcxz 0000000000007E2Ch', 'jmp 0000000000007EECh', 'mov ebx,eax'],
      ...['mov ebp,2', 'mov edi,0', 'mov esi,2000h', 'mov edx,3', 'mov r10d,1', 'mov r8d,ebx', 'mov r9d,0'],
      ...['mov eax,9', 'syscall'],
      ...['cqo', 'mov rcx,rdx', 'jrcxz 0000000000007E64h', 'jmp 0000000000007EECh'],
      ...['mov ebp,3', 'mov edi,ebx', 'mov eax,3', 'syscall'],
      ...['cqo', 'mov rcx,rdx', 'jrcxz 0000000000007E7Eh', 'jmp 0000000000007EECh', 'mov ebx,0FFFFFFFFh'],
      ...['mov ebp,4', 'jmp 0000000000007EECh'],
      // Waits for us, with the last result put aside.
      ...['mov r12,rax', 'lea rdi,[7FE8h]', 'mov esi,0', 'lea rdx,[7FE0h]', 'mov r10d,8', 'mov eax,80h', 'syscall'],
      // Goes back by itself.
      ...['mov ecx,ebx', 'not ecx', 'jrcxz 0000000000007F1Eh', 'mov edi,ebx', 'mov eax,3', 'syscall'],
      ...['rax,[7F78h]', 'rcx,[7F80h]', 'r11,[7F88h]', 'rdi,[7F90h]', 'rsi,[7F98h]', 'rdx,[7FA0h]', 'r10,[7FA8h]'].map(
        (operands) => `mov ${operands}`,
      ),
      ...['r8,[7FB0h]', 'r9,[7FB8h]', 'rbx,[7FC0h]', 'rbp,[7FC8h]', 'r12,[7FD0h]'].map((operands) => `mov ${operands}`),
      'jmp qword ptr [7FD8h]',
    ]);
  });

  it('changes no flag, no memory and no register that it does not put back', () => {
    const { InstructionInfoFactory, Mnemonic, OpAccess, Register, RflagsBits } = iced();
    const factory = new InstructionInfoFactory();
    const instructions = instructionsOf(bytes, start);
    const written = new Set<number>();
    for (const instruction of instructions) {
      // The kernel gives back the flags that it was called with.
      if (instruction.mnemonic !== Mnemonic.Syscall) assert.equal(instruction.rflagsModified, RflagsBits.None);
      const info = factory.info(instruction);
      for (const { access } of info.usedMemory())
        assert.ok(access === OpAccess.Read || access === OpAccess.NoMemAccess);
      for (const { register, access } of info.usedRegisters()) {
        if (access !== OpAccess.Read && access !== OpAccess.CondRead) written.add(fullRegister(register));
      }
    }
    const restored = ['RAX', 'RCX', 'R11', 'RDI', 'RSI', 'RDX', 'R10', 'R8', 'R9', 'RBX', 'RBP', 'R12'] as const;
    const allowed = new Set<number>(restored.map((name) => Register[name]));
    assert.deepEqual(
      [...written].filter((register) => !allowed.has(register)),
      [],
    );
  });

  it('puts back the registers that it was made for', () => {
    const data = viewOf(bytes.subarray(bytes.length - (0x8000 - 0x7f78)));
    const names = ['rax', 'rcx', 'r11', 'rdi', 'rsi', 'rdx', 'r10', 'r8', 'r9', 'rbx', 'rbp', 'r12', 'rip'] as const;
    names.forEach((name, n) => {
      assert.equal(data.getBigUint64(n * 8, true), REGISTERS[name], name);
    });
    assert.equal(Buffer.from(bytes.subarray(-8)).toString('latin1'), 'remora\0\0');
  });

  it('waits behind the system call in front of its way back', () => {
    const at = Number(waitingAddress(place(bytes.length)) - start);
    assert.deepEqual([...bytes.subarray(at - 2, at)], [0x0f, 0x05]);
    assert.equal(listing(bytes.subarray(at), start + BigInt(at))[0], 'mov ecx,ebx');
  });

  it('takes as many calls as there is room for, and one of any kind in the least', () => {
    for (const call of [
      ...CALLS,
      { name: 'mmap', args: [-1n >> 1n, 2n ** 40n, 2n ** 40n, 2n ** 40n, 2n ** 40n, 2n ** 40n] },
    ]) {
      assert.equal(makeStub(place(STUB_CAPACITY.LEAST), REGISTERS, [call as RemoteCall]).count, 1);
    }
    const some = makeStub(place(STUB_CAPACITY.LEAST), REGISTERS, [...CALLS, ...CALLS]);
    assert.ok(some.count > 0 && some.count < CALLS.length, `${some.count}`);
    assert.equal(some.bytes.length, STUB_CAPACITY.LEAST);
  });

  it('is known by its end, whatever it calls and restores, and tells its size', () => {
    const before = new Uint8Array(STUB_CAPACITY.WANTED);
    const small = makeStub(place(STUB_CAPACITY.LEAST), { ...REGISTERS, rip: 0n }, []).bytes;
    assert.equal(stubSize(bytes), STUB_CAPACITY.WANTED);
    assert.equal(stubSize(Buffer.concat([before, small]).subarray(-STUB_CAPACITY.WANTED)), STUB_CAPACITY.LEAST);
    assert.equal(stubSize(before), undefined);
    assert.equal(stubSize(Buffer.concat([bytes.subarray(1), new Uint8Array(1)])), undefined);
  });

  it('tells by registers how far it came', () => {
    const registers = { ...REGISTERS, rbx: 7n, rbp: 2n, r12: 0xffff_ffff_ffff_ffeen };
    assert.deepEqual(readOutcome(registers), { file: 7n, count: 2, result: -18n });
  });
});

function fullRegister(register: number): number {
  return iced().RegisterExt.fullRegister(register);
}
