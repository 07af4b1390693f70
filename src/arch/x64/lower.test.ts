import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Builder } from '../../ir/builder.ts';
import type { Value } from '../../ir/value.ts';
import { ArchError } from '../errors.ts';
import { Assembler } from './assembler.ts';
import { disassemble } from './disassemble.ts';
import { copyFor, type LoweredProgram, type LowerOptions, lower } from './lower.ts';
import { Reg, registerName } from './registers.ts';

const CODE = 0x7f00_0000_1000n; // not 0: iced prints addresses whose low half is below 10 as that digit alone
/** In reach of the code; MAP + n is written [0x7f000010000n]. */
const MAP = 0x7f00_0010_0000n;
const FAR = 0x1234_5678_9abcn;

/** The body, a line `--` where control leaves it, and what lies behind; short names for addresses. */
function listing(program: LoweredProgram): string[] {
  const a = new Assembler(CODE);
  program.emitBody(a, { siteStack: 8 * program.clobbered.size });
  const end = a.address;
  program.emitFunctions(a);
  const lines = disassemble(a.finish(), CODE);
  const targets = new Map(lines.map(({ address }, n) => [`0x${address.toString(16)}`, `${n}`]));
  if (!targets.has(`0x${end.toString(16)}`)) targets.set(`0x${end.toString(16)}`, 'end');
  const label = (target: string) => `@${targets.get(target) ?? target}`;
  return lines.map(({ text }) =>
    text
      .replaceAll(/0x7f00001000([0-9a-f]{2})/g, (_, low) => `map+${Number.parseInt(low, 16)}`)
      .replaceAll(/(?<=(?:j\w+|call) )0x[0-9a-f]+/g, label),
  );
}

function lowered(body: (b: Builder, map: Value) => void, options: Partial<LowerOptions> = {}): LoweredProgram {
  const fn = Builder.function('test', 0, (b) => {
    body(b, b.const(MAP));
    if (b.open) b.return(0);
  });
  return lower(fn, { nearAddress: CODE, ...options });
}

const rdi = (b: Builder) => b.site({ in: 'register', register: Reg.RDI });
const rsi = (b: Builder) => b.site({ in: 'register', register: Reg.RSI });

interface Golden {
  readonly title: string;
  readonly body: (b: Builder, map: Value) => void;
  readonly code: readonly string[];
  /** Registers that the trampoline has to save. */
  readonly clobbered: readonly string[];
  readonly options?: Partial<LowerOptions>;
}

const out = (b: Builder, map: Value, value: Value) => b.store(8, map, 0, value);

const GOLDENS: readonly Golden[] = [
  {
    title: 'a count is one instruction',
    body: (b, map) => b.store(8, map, 8, b.add(b.load(8, map, 8), 1)),
    code: ['inc qword ptr [map+8]'],
    clobbered: [],
  },
  {
    title: 'a shared count is one locked instruction',
    body: (b, map) => void b.atomic('add', 8, map, 8, 1),
    code: ['lock inc qword ptr [map+8]'],
    clobbered: [],
  },
  {
    title: 'a sum takes the register that the site has anyway',
    body: (b, map) => b.store(8, map, 0, b.add(b.load(8, map, 0), rdi(b))),
    code: ['add [map+0], rdi'],
    clobbered: [],
  },
  {
    title: 'an array element is addressed by base and index',
    body(b, map) {
      const element = b.add(map, b.shl(b.and(rdi(b), 7), 3));
      b.store(8, element, 0, b.add(b.load(8, element, 0), 1));
    },
    code: ['mov rax, rdi', 'and eax, 7', 'lea rcx, [map+0]', 'inc qword ptr [rcx + rax*8]'],
    clobbered: ['rax', 'rcx'],
  },
  {
    title: 'an address out of reach is made in a register',
    body: (b) => b.store(4, b.const(FAR), 8, 1),
    code: ['mov rax, 0x123456789abc', 'mov dword ptr [rax + 8], 1'],
    clobbered: ['rax'],
  },
  {
    title: 'a comparison sets the flags that the jump reads, in memory and in the width of the load',
    body: (b, map) => b.when(b.compare('ult', b.load(1, rdi(b), 3), 10), () => b.increment(map, 0)),
    code: ['cmp byte ptr [rdi + 3], 0xa', 'jae @end', 'inc qword ptr [map+0]'],
    clobbered: [],
  },
  {
    title: 'a bit test needs only the byte the bit is in',
    body: (b, map) => b.when(b.compare('test', rsi(b), 4), () => b.increment(map, 0)),
    code: ['test sil, 4', 'je @end', 'inc qword ptr [map+0]'],
    clobbered: [],
  },
  {
    title: 'arithmetic that sets the zero flag is not tested again',
    body(b, map) {
      const masked = b.and(rdi(b), rsi(b));
      b.when(b.compare('ne', masked, 0), () => out(b, map, masked));
    },
    code: ['mov rax, rdi', 'and rax, rsi', 'je @end', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a choice is a conditional move',
    body: (b, map) => out(b, map, b.select(b.compare('ult', rdi(b), rsi(b)), rsi(b), rdi(b))),
    code: ['cmp rdi, rsi', 'mov rax, rdi', 'cmovb rax, rsi', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a truth value is made without a jump',
    body: (b, map) => out(b, map, b.compare('sle', rdi(b), -1)),
    code: ['cmp rdi, -1', 'setle al', 'movzx eax, al', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: '32-bit results are zero-extended for nothing',
    body: (b, map) => out(b, map, b.unary('zext32', b.binary('add', rdi(b), rsi(b), 32))),
    code: ['lea eax, [rdi + rsi]', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a narrow store needs no narrowing before',
    body: (b, map) => b.store(4, map, 0, b.unary('zext32', rdi(b))),
    code: ['mov [map+0], edi'],
    clobbered: [],
  },
  {
    title: 'sums of scaled summands are one lea',
    body: (b, map) => out(b, map, b.add(b.add(rdi(b), b.shl(rsi(b), 2)), 100)),
    code: ['lea rax, [rdi + rsi*4 + 0x64]', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a product with a constant reads its factor from memory',
    body: (b, map) => out(b, map, b.mul(b.load(8, rdi(b), 8), 1000)),
    code: ['imul rax, [rdi + 8], 0x3e8', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a division takes rax and rdx and keeps out of their way',
    body: (b, map) => out(b, map, b.binary('umod', rdi(b), rsi(b))),
    code: ['mov rax, rdi', 'xor edx, edx', 'div rsi', 'mov [map+0], rdx'],
    clobbered: ['rax', 'rdx'],
  },
  {
    title: 'a division by a constant is a multiplication',
    body: (b, map) => out(b, map, b.binary('udiv', rdi(b), 1000)),
    code: ['mov rdx, rdi', 'shr rdx, 3', 'mov rax, 0x20c49ba5e353f7cf', 'mul rdx', 'shr rdx, 4', 'mov [map+0], rdx'],
    clobbered: ['rax', 'rdx'],
  },
  {
    title: 'a shift by a variable takes rcx',
    body: (b, map) => out(b, map, b.shl(rdi(b), b.and(rsi(b), 63))),
    code: ['mov rcx, rsi', 'mov rax, rdi', 'shl rax, cl', 'mov [map+0], rax'],
    clobbered: ['rax', 'rcx'],
  },
  {
    title: 'stack arguments of the site are read over what the trampoline pushed',
    body: (b, map) => out(b, map, b.load(8, b.site({ in: 'stackPointer', offset: 8 }), 8)),
    code: ['mov rax, [rsp + 0x18]', 'mov [map+0], rax'],
    clobbered: ['rax'],
  },
  {
    title: 'a loop keeps its variables in registers, and its test at the end',
    body(b, map) {
      const [sum] = b.loop([b.const(0), b.const(0)], 1, (loop, [n, total]) => {
        b.when(b.compare('uge', n!, rdi(b)), () => loop.leave(total!));
        loop.next(b.add(n!, 1), b.add(total!, b.load(8, b.add(rsi(b), b.shl(n!, 3)))));
      });
      out(b, map, sum!);
    },
    code: [
      'xor ecx, ecx',
      'xor eax, eax',
      'cmp rcx, rdi',
      'jae @8',
      'add rax, [rsi + rcx*8]',
      'inc rcx',
      'cmp rcx, rdi',
      'jb @4',
      'mov [map+0], rax',
    ],
    clobbered: ['rax', 'rcx'],
  },
  {
    title: 'compare-and-exchange leaves the answer in the flags',
    body(b, map) {
      b.loop([b.load(8, map)], 0, (loop, [old]) => {
        const seen = b.cmpxchg(8, map, 0, old!, b.add(old!, rdi(b)));
        b.when(b.compare('eq', seen, old!), () => loop.leave());
        loop.next(seen);
      });
    },
    code: ['mov rax, [map+0]', 'lea rcx, [rdi + rax]', 'lock cmpxchg [map+0], rcx', 'jne @1'],
    clobbered: ['rax', 'rcx'],
  },
  {
    title: 'a fetching or is a loop, since the processor has none',
    body: (b, map) => out(b, map, b.atomic('or', 4, map, 8, rdi(b))),
    code: [
      'mov eax, [map+8]',
      'mov ecx, eax',
      'or ecx, edi',
      'lock cmpxchg [map+8], ecx',
      'jne @1',
      'mov [map+0], rax',
    ],
    clobbered: ['rax', 'rcx'],
  },
  {
    title: 'a function of the target is called on an aligned stack, its frame above',
    body(b, map) {
      const time = b.stack(16);
      b.callAddress(FAR, [b.const(1), time]);
      out(b, map, b.load(8, time, 8));
    },
    code: [
      'sub rsp, 0x10',
      'mov edi, 1',
      'mov rsi, rsp',
      'mov rbx, rsp',
      'and rsp, -0x10',
      'mov rax, 0x123456789abc',
      'call rax',
      'mov rsp, rbx',
      'mov rax, [rsp + 8]',
      'mov [map+0], rax',
      'add rsp, 0x10',
    ],
    clobbered: ['rax', 'rbx', 'rcx', 'rdi', 'rdx', 'rsi', 'r8', 'r9', 'r10', 'r11'],
  },
  {
    title: 'a system call has its arguments where the kernel wants them',
    body: (b, map) => out(b, map, b.syscall(39, [rsi(b), rdi(b)])),
    code: ['xchg rdi, rsi', 'mov eax, 0x27', 'syscall', 'mov [map+0], rax'],
    clobbered: ['rax', 'rcx', 'rdi', 'rsi', 'r11'],
  },
  {
    title: 'cold code lies behind, and saves what only it changes',
    body(b, map) {
      const slow = Builder.function('slow', 2, (s, [place, value]) => {
        s.store(8, place!, 0, value!);
        s.return(s.add(value!, 1));
      });
      b.when(b.compare('test', rdi(b), 1), () => b.store(8, map, 8, b.call(slow, [map, rdi(b)])), 'cold');
      out(b, map, rdi(b));
    },
    code: [
      'test dil, 1',
      'jne @3',
      'mov [map+0], rdi',
      'push rcx',
      'push rsi',
      'push rdi',
      'push rax',
      'mov rcx, rdi',
      'mov rsi, rcx',
      'lea rdi, [map+0]',
      'call @18',
      'mov [map+8], rax',
      'mov rdi, rcx',
      'pop rax',
      'pop rdi',
      'pop rsi',
      'pop rcx',
      'jmp @2',
      'mov [rdi], rsi',
      'lea rax, [rsi + 1]',
      'ret',
    ],
    clobbered: [],
  },
  {
    title: 'registers that are saved anyway come first',
    body: (b, map) => out(b, map, b.mul(rdi(b), rsi(b))),
    options: { preferred: [Reg.R11] },
    code: ['mov r11, rdi', 'imul r11, rsi', 'mov [map+0], r11'],
    clobbered: ['r11'],
  },
  {
    title: 'the result comes in the register it is wanted in',
    body: (b) => b.return(b.add(rdi(b), 1)),
    options: { result: Reg.RDX },
    code: ['lea rdx, [rdi + 1]'],
    clobbered: ['rdx'],
  },
];

describe('lower', () => {
  for (const { title, body, code, clobbered, options } of GOLDENS) {
    it(title, () => {
      const program = lowered(body, options);
      assert.deepEqual(listing(program), code);
      assert.deepEqual([...program.clobbered].map((r) => registerName(r)).sort(), clobbered.toSorted());
    });
  }

  it('writes the same program twice, for places that differ', () => {
    const program = lowered((b, map) => b.increment(map, 0));
    const a = new Assembler(CODE);
    program.emitBody(a, { siteStack: 0 });
    program.emitBody(a, { siteStack: 0 });
    program.emitFunctions(a);
    assert.deepEqual(
      disassemble(a.finish(), CODE).map(({ text }) => text),
      ['inc qword ptr [0x7f0000100000]', 'inc qword ptr [0x7f0000100000]'],
    );
  });

  for (const [where, own, code] of [
    ['near', CODE + 0x1000n, ['lea rax, [0x7f0000002000]', 'add rdi, rax']],
    ['far', 0x1234_5678_9abcn, ['mov rax, 0x123456789abc', 'add rdi, rax']],
    ['low', 0x1000n, ['mov eax, 0x1000', 'add rdi, rax']],
  ] as const) {
    it(`writes copies that have an address of their own ${where}`, () => {
      const program = lowered((b) => b.return(b.add(rdi(b), b.site({ in: 'copy' }))), { result: Reg.RDI });
      assert.deepEqual(listing(copyFor(program, own)), code);
      assert.throws(() => listing(program), /this copy of the code was given no address/);
    });
  }

  it('says how deep the stack gets', () => {
    const leaf = Builder.function('leaf', 0, (b) => b.return(b.load(8, b.stack(24))));
    const middle = Builder.function('middle', 0, (b) => b.return(b.add(b.load(8, b.stack(8)), b.call(leaf, []))));
    const program = lowered((b, map) => out(b, map, b.call(middle, [])));
    assert.equal(program.stackBytes, 8 + (8 + 8 + 24));
  });

  it('marks the code of each eBPF instruction', () => {
    const program = lowered((b, map) => {
      b.origin = 3;
      b.increment(map, 0);
      b.origin = 5;
      b.increment(map, 8);
      b.origin = undefined;
    });
    const a = new Assembler(CODE);
    program.emitBody(a, { siteStack: 0 });
    assert.deepEqual(a.machineCode().lines, [
      { offset: 0, origin: 3 },
      { offset: 7, origin: 5 },
      { offset: 14, origin: undefined },
    ]);
  });

  it('refuses functions that call each other in circles', () => {
    const fn = Builder.function('f', 0, (b) => {
      b.call(b.fn, []);
      b.return(0);
    });
    assert.throws(() => lowered((b) => void b.call(fn, [])), { code: 'ARCH_RECURSION' });
  });

  for (const [what, body] of [
    [
      'a site register in a function that the body calls',
      (b: Builder) =>
        void b.call(
          Builder.function('f', 0, (f) => f.return(rdi(f))),
          [],
        ),
    ],
    [
      'nine arguments',
      (b: Builder) =>
        void b.call(
          Builder.function('f', 9, (f) => f.return(0)),
          Array(9).fill(b.const(0)),
        ),
    ],
  ] as const) {
    it(`refuses ${what}`, () => {
      assert.throws(
        () => lowered(body),
        (error) => error instanceof ArchError && error.code === 'ARCH_UNSUPPORTED',
      );
    });
  }
});
