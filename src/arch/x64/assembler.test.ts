import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ALU, Assembler, CONDITION, type ConditionCode, GROUP3, SHIFT } from './assembler.ts';
import { disassemble } from './disassemble.ts';
import { absolute, at, indexed, type Mem, type Scale, thread } from './memory.ts';
import { GENERAL_REGISTERS, Reg, registerName } from './registers.ts';

const ORIGIN = 0x7f00_0000_0000n;

function assemble(write: (a: Assembler) => void): Uint8Array {
  const a = new Assembler(ORIGIN);
  write(a);
  return a.finish();
}

describe('Assembler', () => {
  // Bytes checked with `objdump -D -b binary -m i386:x86-64 -M intel`.
  for (const [text, write, bytes] of [
    ['mov rax, rdi', (a) => a.mov(Reg.RAX, Reg.RDI), '4889f8'],
    ['mov r8d, edi', (a) => a.mov(Reg.R8, Reg.RDI, 4), '4189f8'],
    ['mov sil, dil', (a) => a.mov(Reg.RSI, Reg.RDI, 1), '4088fe'],
    ['mov eax, 1', (a) => a.movImm(Reg.RAX, 1n), 'b801000000'],
    ['mov rax, -1', (a) => a.movImm(Reg.RAX, -1n), '48c7c0ffffffff'],
    ['mov r9, 0x123456789a', (a) => a.movImm(Reg.R9, 0x12_3456_789an), '49b99a78563412000000'],
    ['add rax, -1', (a) => a.aluImm('add', Reg.RAX, -1), '4883c0ff'],
    ['add rax, 0x1000', (a) => a.aluImm('add', Reg.RAX, 0x1000), '480500100000'],
    ['cmp word ptr [rdi+2], 0x50', (a) => a.aluImm('cmp', at(Reg.RDI, 2), 0x50, 2), '66837f0250'],
    ['lock inc qword ptr [rip+0x10]', (a) => a.lock().inc(absolute(ORIGIN + 0x18n)), 'f048ff0510000000'],
    ['mov qword ptr [rip+0x10], -2', (a) => a.storeImm(absolute(ORIGIN + 0x1bn), -2n), '48c70510000000feffffff'],
    ['mov rax, fs:[0]', (a) => a.mov(Reg.RAX, thread(0)), '64488b042500000000'],
    ['mov rax, [0x1000]', (a) => a.mov(Reg.RAX, absolute(0x1000n)), '488b042500100000'],
    ['mov rax, [rbp]', (a) => a.mov(Reg.RAX, at(Reg.RBP)), '488b4500'],
    ['mov rax, [rsp]', (a) => a.mov(Reg.RAX, at(Reg.RSP)), '488b0424'],
    ['mov rax, [r12]', (a) => a.mov(Reg.RAX, at(Reg.R12)), '498b0424'],
    ['mov rax, [r13+r13*8+0x80]', (a) => a.mov(Reg.RAX, indexed(Reg.R13, Reg.R13, 8, 0x80)), '4b8b84ed80000000'],
    ['rdpid rdi', (a) => a.rdpid(Reg.RDI), 'f30fc7ff'],
    ['rdtsc', (a) => a.rdtsc(), '0f31'],
    ['syscall', (a) => a.syscall(), '0f05'],
    ['ret', (a) => a.ret(), 'c3'],
  ] satisfies [string, (a: Assembler) => void, string][]) {
    it(text, () => assert.equal(Buffer.from(assemble(write)).toString('hex'), bytes));
  }

  it('resolves a forward and a backward jump', () => {
    const code = assemble((a) => {
      const [top, end] = [a.label(), a.label()];
      a.bind(top);
      a.jmp(end); //            e9 06 00 00 00
      a.jcc('ne', top); //      75 f9
      a.jcc('b', end, 'short'); // 72 07
      a.jrcxz(end); //             e3 05
      a.call(end); //           would be skipped
      a.bind(end);
      a.ret();
    });
    assert.equal(Buffer.from(code).toString('hex'), `e90b000000${'75f9'}${'7207'}${'e305'}e800000000c3`);
  });

  it('refuses a label that was never bound and one bound twice', () => {
    assert.throws(() => assemble((a) => a.jmp(a.label())), /never bound/);
    assert.throws(
      () =>
        assemble((a) => {
          const label = a.label();
          a.bind(label);
          a.bind(label);
        }),
      /already bound/,
    );
  });

  it('refuses what it cannot reach', () => {
    assert.throws(() => assemble((a) => a.callTo(ORIGIN + 0x8000_0010n)), /cannot be reached/);
    assert.throws(() => assemble((a) => a.mov(Reg.RAX, absolute(ORIGIN + 0x8000_0010n))), /cannot be reached/);
    assert.throws(() => assemble((a) => a.aluImm('add', Reg.RAX, 0x8000_0000n)), /does not fit/);
    assert.throws(
      () =>
        assemble((a) => {
          const far = a.label();
          a.jmp(far, 'short');
          a.raw(new Uint8Array(128));
          a.bind(far);
        }),
      /short jump/,
    );
  });

  it('marks where the code of each eBPF instruction begins', () => {
    const a = new Assembler(ORIGIN);
    a.mark(0);
    a.mark(1); // nothing was emitted for 0
    a.ret();
    a.mark(1);
    a.ret();
    a.mark(undefined);
    a.ret();
    assert.deepEqual(a.machineCode().lines, [
      { offset: 0, origin: 1 },
      { offset: 2, origin: undefined },
    ]);
  });
});

describe('every form of every instruction', () => {
  const registers: readonly Reg[] = [...GENERAL_REGISTERS, Reg.RSP];
  const memory: readonly [string, Mem][] = [
    ...registers.flatMap((base): [string, Mem][] => [
      [`[${registerName(base)}]`, at(base)],
      [`[${registerName(base)} - 0x80]`, at(base, -128)],
      [`[${registerName(base)} + 0x12345678]`, at(base, 0x1234_5678)],
    ]),
    ...GENERAL_REGISTERS.flatMap((index): [string, Mem][] =>
      ([1, 2, 4, 8] as Scale[]).flatMap((scale): [string, Mem][] => [
        [`[rdx + ${registerName(index)}${scale === 1 ? '' : `*${scale}`}]`, indexed(Reg.RDX, index, scale)],
        [`[r13 + ${registerName(index)}${scale === 1 ? '' : `*${scale}`} + 0x10]`, indexed(Reg.R13, index, scale, 16)],
      ]),
    ),
    ['[rdi*8 + 0x10]', indexed(undefined, Reg.RDI, 8, 16)],
    ['[0x7f0000001000]', absolute(ORIGIN + 0x1000n)],
    ['[0x2000]', absolute(0x2000n)],
    ['fs:[0x28]', thread(0x28)],
    ['fs:[-8]', thread(-8)],
  ];
  const SIZES = [1, 2, 4, 8] as const;
  const WIDE = [4, 8] as const;
  const POINTER = { 1: 'byte ptr ', 2: 'word ptr ', 4: 'dword ptr ', 8: 'qword ptr ' } as const;
  const keys = <K extends string>(table: Record<K, number>): K[] => Object.keys(table) as K[];

  /** Writes all cases into one piece of code and compares its disassembly, line by line. */
  function check(name: string, cases: Iterable<readonly [text: string, write: (a: Assembler) => void]>): void {
    it(name, () => {
      const a = new Assembler(ORIGIN);
      const expected: string[] = [];
      for (const [text, write] of cases) {
        write(a);
        expected.push(text);
      }
      const decoded = disassemble(a.finish(), ORIGIN).map(({ text }) => normal(text));
      const wrong = expected.findIndex((text, n) => normal(text) !== decoded[n]);
      assert.equal(decoded[wrong], expected[wrong]);
      assert.equal(decoded.length, expected.length);
    });
  }
  /** With decimal numbers: fs:[-8] is printed as fs:[0xffff...]. */
  function normal(text: string): string {
    return text.replaceAll(/0x[0-9a-f]+/g, (digits) => `${BigInt.asIntN(64, BigInt(digits))}`);
  }
  const pairs = (sizes: readonly (1 | 2 | 4 | 8)[]) =>
    sizes.flatMap((size) => registers.flatMap((dst) => registers.map((src) => [size, dst, src] as const)));
  const inMemory = <S extends 1 | 2 | 4 | 8>(sizes: readonly S[]) =>
    sizes.flatMap((size) =>
      memory.map(([text, mem], n) => [size, text, mem, registers[n % registers.length]!] as const),
    );

  check('mov and alu, register to register', [
    ...pairs(SIZES).map(
      ([size, d, s]) =>
        [`mov ${registerName(d, size)}, ${registerName(s, size)}`, (a: Assembler) => a.mov(d, s, size)] as const,
    ),
    ...pairs(SIZES).flatMap(([size, d, s]) =>
      keys(ALU).map(
        (op) =>
          [
            `${op} ${registerName(d, size)}, ${registerName(s, size)}`,
            (a: Assembler) => a.alu(op, d, s, size),
          ] as const,
      ),
    ),
    ...pairs(SIZES).map(
      ([size, d, s]) =>
        [`test ${registerName(d, size)}, ${registerName(s, size)}`, (a: Assembler) => a.test(d, s, size)] as const,
    ),
  ]);
  check(
    'mov and alu, with memory',
    inMemory(SIZES).flatMap(
      ([size, text, mem, r]) =>
        [
          [`mov ${registerName(r, size)}, ${text}`, (a: Assembler) => a.mov(r, mem, size)],
          [`mov ${text}, ${registerName(r, size)}`, (a: Assembler) => a.mov(mem, r, size)],
          [`mov ${POINTER[size]}${text}, -2`, (a: Assembler) => a.storeImm(mem, -2n, size)],
          [`sub ${registerName(r, size)}, ${text}`, (a: Assembler) => a.alu('sub', r, mem, size)],
          [`xor ${text}, ${registerName(r, size)}`, (a: Assembler) => a.alu('xor', mem, r, size)],
          [`and ${POINTER[size]}${text}, 7`, (a: Assembler) => a.aluImm('and', mem, 7, size)],
          [
            `cmp ${POINTER[size]}${text}, ${size === 1 ? -3 : 0x123}`,
            (a: Assembler) => a.aluImm('cmp', mem, size === 1 ? -3 : 0x123, size),
          ],
          [`test ${POINTER[size]}${text}, 0x40`, (a: Assembler) => a.testImm(mem, 0x40, size)],
          [`test ${text}, ${registerName(r, size)}`, (a: Assembler) => a.test(mem, r, size)],
          [`inc ${POINTER[size]}${text}`, (a: Assembler) => a.inc(mem, size)],
          [`dec ${POINTER[size]}${text}`, (a: Assembler) => a.dec(mem, size)],
          [`neg ${POINTER[size]}${text}`, (a: Assembler) => a.group3('neg', mem, size)],
          [`xchg ${text}, ${registerName(r, size)}`, (a: Assembler) => a.xchg(mem, r, size)],
          [`shl ${POINTER[size]}${text}, 3`, (a: Assembler) => a.shiftImm('shl', mem, 3, size)],
          [`lock add ${POINTER[size]}${text}, 5`, (a: Assembler) => a.lock().aluImm('add', mem, 5, size)],
        ] as const,
    ),
  );
  check(
    'immediates',
    SIZES.flatMap((size) =>
      registers.flatMap((r) => [
        ...keys(ALU).flatMap((op) =>
          [-128, 127, ...(size === 1 ? [] : [128, -300])].map(
            (value) =>
              [`${op} ${registerName(r, size)}, ${value}`, (a: Assembler) => a.aluImm(op, r, value, size)] as const,
          ),
        ),
        [`test ${registerName(r, size)}, 0x11`, (a: Assembler) => a.testImm(r, 0x11, size)] as const,
      ]),
    ),
  );
  check(
    'one register',
    SIZES.flatMap((size) =>
      registers.flatMap((r) => {
        const name = registerName(r, size);
        return [
          ...keys(GROUP3).map((op) => [`${op} ${name}`, (a: Assembler) => a.group3(op, r, size)] as const),
          ...keys(SHIFT).flatMap((op) => [
            [`${op} ${name}, 1`, (a: Assembler) => a.shiftImm(op, r, 1, size)] as const,
            [`${op} ${name}, 7`, (a: Assembler) => a.shiftImm(op, r, 7, size)] as const,
            [`${op} ${name}, cl`, (a: Assembler) => a.shiftCl(op, r, size)] as const,
          ]),
          [`inc ${name}`, (a: Assembler) => a.inc(r, size)] as const,
          [`dec ${name}`, (a: Assembler) => a.dec(r, size)] as const,
        ];
      }),
    ),
  );
  check('loads that extend', [
    ...registers.flatMap((d) =>
      registers.flatMap((s) => [
        [`movzx ${registerName(d, 4)}, ${registerName(s, 1)}`, (a: Assembler) => a.movzx(d, s, 1)] as const,
        [`movzx ${registerName(d, 4)}, ${registerName(s, 2)}`, (a: Assembler) => a.movzx(d, s, 2)] as const,
        ...WIDE.flatMap((size) => [
          [`movsx ${registerName(d, size)}, ${registerName(s, 1)}`, (a: Assembler) => a.movsx(d, s, 1, size)] as const,
          [`movsx ${registerName(d, size)}, ${registerName(s, 2)}`, (a: Assembler) => a.movsx(d, s, 2, size)] as const,
        ]),
        [`movsxd ${registerName(d)}, ${registerName(s, 4)}`, (a: Assembler) => a.movsx(d, s, 4)] as const,
      ]),
    ),
    ...inMemory([8]).flatMap(([, text, mem, r]) => [
      [`movzx ${registerName(r, 4)}, byte ptr ${text}`, (a: Assembler) => a.movzx(r, mem, 1)] as const,
      [`movsx ${registerName(r)}, word ptr ${text}`, (a: Assembler) => a.movsx(r, mem, 2)] as const,
      [`movsxd ${registerName(r)}, ${text}`, (a: Assembler) => a.movsx(r, mem, 4)] as const,
    ]),
  ]);
  check(
    'addresses, products, exchanges',
    inMemory(WIDE).flatMap(
      ([size, text, mem, r]) =>
        [
          ...(text.startsWith('fs')
            ? []
            : [[`lea ${registerName(r, size)}, ${text}`, (a: Assembler) => a.lea(r, mem, size)] as const]),
          [`imul ${registerName(r, size)}, ${text}`, (a: Assembler) => a.imul(r, mem, size)],
          [`imul ${registerName(r, size)}, ${text}, 100`, (a: Assembler) => a.imulImm(r, mem, 100, size)],
          [`imul ${registerName(r, size)}, ${text}, 1000`, (a: Assembler) => a.imulImm(r, mem, 1000, size)],
          [`cmovle ${registerName(r, size)}, ${text}`, (a: Assembler) => a.cmov('le', r, mem, size)],
          [`lock xadd ${text}, ${registerName(r, size)}`, (a: Assembler) => a.lock().xadd(mem, r, size)],
          [`lock cmpxchg ${text}, ${registerName(r, size)}`, (a: Assembler) => a.lock().cmpxchg(mem, r, size)],
          [`lock cmpxchg16b ${text}`, (a: Assembler) => a.lock().cmpxchg16b(mem)],
          [`push qword ptr ${text}`, (a: Assembler) => a.push(mem)],
          [`pop qword ptr ${text}`, (a: Assembler) => a.pop(mem)],
          [`jmp qword ptr ${text}`, (a: Assembler) => a.jmpIndirect(mem)],
        ] as const,
    ),
  );
  check(
    'the rest, over all registers',
    registers.flatMap(
      (r) =>
        [
          [`push ${registerName(r)}`, (a: Assembler) => a.push(r)],
          [`pop ${registerName(r)}`, (a: Assembler) => a.pop(r)],
          [`call ${registerName(r)}`, (a: Assembler) => a.callIndirect(r)],
          [`jmp ${registerName(r)}`, (a: Assembler) => a.jmpIndirect(r)],
          [`bswap ${registerName(r)}`, (a: Assembler) => a.bswap(r)],
          [`bswap ${registerName(r, 4)}`, (a: Assembler) => a.bswap(r, 4)],
          [`rdpid ${registerName(r)}`, (a: Assembler) => a.rdpid(r)],
          [`lsl ${registerName(r, 4)}, ecx`, (a: Assembler) => a.lsl(r, Reg.RCX)],
          [`mov ${registerName(r, 4)}, 0x12345678`, (a: Assembler) => a.movImm(r, 0x1234_5678n)],
          [`mov ${registerName(r)}, -0x12345678`, (a: Assembler) => a.movImm(r, -0x1234_5678n)],
          [`mov ${registerName(r)}, 0x123456789abc`, (a: Assembler) => a.movImm(r, 0x1234_5678_9abcn)],
        ] as const,
    ),
  );
  check(
    'conditions',
    registers.flatMap((r) =>
      keys(CONDITION).flatMap(
        (condition: ConditionCode) =>
          [
            [`set${condition} ${registerName(r, 1)}`, (a: Assembler) => a.set(condition, r)],
            [`cmov${condition} ${registerName(r, 4)}, r9d`, (a: Assembler) => a.cmov(condition, r, Reg.R9, 4)],
          ] as const,
      ),
    ),
  );
});
