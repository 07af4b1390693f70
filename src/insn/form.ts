/**
 * The instruction set as rows: opcode, mnemonic, operands, what must be zero and what it does. Decoder, assembler,
 * disassembler, checks, interpreter and compiler all read this one table. Source: RFC 9669, sections 4 and 5.
 */
import type { Insn } from './insn.ts';
import { AluCode, AtomicCode, CallKind, Class, JumpCode, LddwKind, Mode, SizeCode, Source } from './opcode.ts';

/** Width of an operation in bits. A 32-bit one reads low halves and zeroes the high half of its result. */
export type Width = 32 | 64;
/** Size of a memory access in bytes. */
export type AccessSize = 1 | 2 | 4 | 8;
/** Where a second operand comes from. */
export type OperandSource = 'imm' | 'src';

/** `dst = dst OPERATOR operand`; mov takes the operand alone. Shifts count modulo the width. */
export type AluOperator =
  | 'add'
  | 'sub'
  | 'mul'
  | 'div'
  | 'sdiv'
  | 'or'
  | 'and'
  | 'lsh'
  | 'rsh'
  | 'mod'
  | 'smod'
  | 'xor'
  | 'mov'
  | 'arsh';
/** `if dst CONDITION operand`; jset is (dst & operand) != 0, the `js` ones compare signed. */
export type JumpCondition = 'jeq' | 'jgt' | 'jge' | 'jset' | 'jne' | 'jsgt' | 'jsge' | 'jlt' | 'jle' | 'jslt' | 'jsle';
/** What an atomic instruction does to memory. */
export type AtomicOperator = 'add' | 'or' | 'and' | 'xor' | 'xchg' | 'cmpxchg';

/** What an instruction does; which registers and numbers it does it with are the Insn's fields. */
export type Operation =
  | { readonly kind: 'alu'; readonly operator: AluOperator; readonly width: Width; readonly operand: OperandSource }
  /** dst = -dst */
  | { readonly kind: 'neg'; readonly width: Width }
  /** dst = the low `bits` of src, sign-extended to the width. */
  | { readonly kind: 'movsx'; readonly bits: 8 | 16 | 32; readonly width: Width }
  /** dst = the low `bits` of dst in that byte order (`swap`: reversed), zero-extended. */
  | { readonly kind: 'endian'; readonly order: 'le' | 'be' | 'swap'; readonly bits: 16 | 32 | 64 }
  /** dst = imm64, or what it stands for. */
  | { readonly kind: 'lddw'; readonly loads: Lddw }
  /** dst = *(src + offset), sign-extended to 64 bits if `signed`, zero-extended otherwise. */
  | { readonly kind: 'load'; readonly size: AccessSize; readonly signed: boolean }
  /** *(dst + offset) = operand */
  | { readonly kind: 'store'; readonly size: AccessSize; readonly operand: OperandSource }
  /**
   * *(dst + offset) = *(dst + offset) OPERATOR src; with `fetch` src gets the old memory, zero-extended.
   * cmpxchg compares memory to r0, stores src if equal, and r0 gets the old memory.
   */
  | { readonly kind: 'atomic'; readonly operator: AtomicOperator; readonly size: 4 | 8; readonly fetch: boolean }
  | { readonly kind: 'jump' }
  | {
      readonly kind: 'branch';
      readonly condition: JumpCondition;
      readonly width: Width;
      readonly operand: OperandSource;
    }
  /** Jumps once the function it is in has come to any may_goto MAY_GOTO_LIMIT times: what bounds a loop by itself. */
  | { readonly kind: 'mayGoto' }
  /** `register`: the helper whose number is in dst. */
  | { readonly kind: 'call'; readonly callee: 'helper' | 'local' | 'kfunc' | 'register' }
  | { readonly kind: 'exit' };

/** How often may_goto falls through in one activation of a function. The kernel's BPF_MAX_LOOPS. */
export const MAY_GOTO_LIMIT = 8 * 1024 * 1024;

/** What the immediate of a lddw stands for. */
export type Lddw = 'number' | 'mapFd' | 'mapFdValue' | 'variable' | 'function' | 'mapIndex' | 'mapIndexValue';

/** Where an operand, as written in assembly, goes in the Insn; brackets are memory: a register and `offset`. */
export type Operand = 'dst' | 'src' | 'imm' | 'imm64' | 'offset' | '[dst]' | '[src]' | 'jump offset' | 'jump imm';

/** The fields besides the opcode. */
export type Field = 'src' | 'offset' | 'imm' | 'dst';

/** One instruction of the set. */
export interface Form {
  /** As the bpf_conformance suite writes it; forms with different operands share one. */
  readonly mnemonic: string;
  readonly opcode: number;
  /** In the order they are written. */
  readonly operands: readonly Operand[];
  /** Fields that are no operand, and the value each must have. */
  readonly fixed: Readonly<Partial<Record<Field, number>>>;
  readonly operation: Operation;
  /** Where it says how many slots it jumps, or where what it calls is; undefined if it says neither. */
  readonly distance: 'offset' | 'imm' | undefined;
}

/** The fields each operand fills. */
const FIELDS_OF: Readonly<Record<Operand, readonly Field[]>> = {
  dst: ['dst'],
  src: ['src'],
  imm: ['imm'],
  imm64: ['imm'],
  offset: ['offset'],
  '[dst]': ['dst', 'offset'],
  '[src]': ['src', 'offset'],
  'jump offset': ['offset'],
  'jump imm': ['imm'],
};

/** In the order in which a field that does not fit is reported: what selects a variant first. */
export const FIELDS = ['src', 'offset', 'imm', 'dst'] as const satisfies readonly Field[];

const WIDTHS = [
  { width: 64, suffix: '', alu: Class.ALU64, jump: Class.JMP },
  { width: 32, suffix: '32', alu: Class.ALU, jump: Class.JMP32 },
] as const;

const SOURCES = [
  { operand: 'imm', bit: Source.K },
  { operand: 'src', bit: Source.X },
] as const;

const SIZES = [
  { size: 1, suffix: 'b', code: SizeCode.B },
  { size: 2, suffix: 'h', code: SizeCode.H },
  { size: 4, suffix: 'w', code: SizeCode.W },
  { size: 8, suffix: 'dw', code: SizeCode.DW },
] as const;

const ALU: readonly (readonly [operator: AluOperator, code: number, offset: number])[] = [
  ['add', AluCode.ADD, 0],
  ['sub', AluCode.SUB, 0],
  ['mul', AluCode.MUL, 0],
  ['div', AluCode.DIV, 0],
  ['sdiv', AluCode.DIV, 1],
  ['or', AluCode.OR, 0],
  ['and', AluCode.AND, 0],
  ['lsh', AluCode.LSH, 0],
  ['rsh', AluCode.RSH, 0],
  ['mod', AluCode.MOD, 0],
  ['smod', AluCode.MOD, 1],
  ['xor', AluCode.XOR, 0],
  ['mov', AluCode.MOV, 0],
  ['arsh', AluCode.ARSH, 0],
];

/** Signed moves: from `bits` to `width`. `offset` is the bits. */
const MOVSX = [
  [8, 64],
  [16, 64],
  [32, 64],
  [8, 32],
  [16, 32],
] as const;

/** Byte orders; `swap` is also written `bswap`. */
const ENDIAN = [
  ['le', 'le', Class.ALU | Source.K],
  ['be', 'be', Class.ALU | Source.X],
  ['swap', 'swap', Class.ALU64 | Source.K],
  ['bswap', 'swap', Class.ALU64 | Source.K],
] as const;

const BRANCH: readonly (readonly [condition: JumpCondition, code: number])[] = [
  ['jeq', JumpCode.JEQ],
  ['jgt', JumpCode.JGT],
  ['jge', JumpCode.JGE],
  ['jset', JumpCode.JSET],
  ['jne', JumpCode.JNE],
  ['jsgt', JumpCode.JSGT],
  ['jsge', JumpCode.JSGE],
  ['jlt', JumpCode.JLT],
  ['jle', JumpCode.JLE],
  ['jslt', JumpCode.JSLT],
  ['jsle', JumpCode.JSLE],
];

const ATOMIC: readonly (readonly [operator: AtomicOperator, code: number, mnemonic: string])[] = [
  ['add', AtomicCode.ADD, 'lock add'],
  ['or', AtomicCode.OR, 'lock or'],
  ['and', AtomicCode.AND, 'lock and'],
  ['xor', AtomicCode.XOR, 'lock xor'],
  ['add', AtomicCode.ADD | AtomicCode.FETCH, 'lock fetch add'],
  ['or', AtomicCode.OR | AtomicCode.FETCH, 'lock fetch or'],
  ['and', AtomicCode.AND | AtomicCode.FETCH, 'lock fetch and'],
  ['xor', AtomicCode.XOR | AtomicCode.FETCH, 'lock fetch xor'],
  ['xchg', AtomicCode.XCHG, 'lock xchg'],
  ['cmpxchg', AtomicCode.CMPXCHG, 'lock cmpxchg'],
];

/** Where the operand is `imm` the high half must be zero. */
const LDDW: readonly (readonly [loads: Lddw, kind: number, mnemonic: string, operand: 'imm' | 'imm64'])[] = [
  ['number', LddwKind.NUMBER, 'lddw', 'imm64'],
  ['mapFd', LddwKind.MAP_FD, 'lddw map_fd', 'imm'],
  ['mapFdValue', LddwKind.MAP_FD_VALUE, 'lddw map_fd_value', 'imm64'],
  ['variable', LddwKind.VARIABLE, 'lddw variable', 'imm64'],
  ['function', LddwKind.FUNCTION, 'lddw function', 'imm'],
  ['mapIndex', LddwKind.MAP_INDEX, 'lddw map_index', 'imm'],
  ['mapIndexValue', LddwKind.MAP_INDEX_VALUE, 'lddw map_index_value', 'imm64'],
];

/** Every instruction there is. */
export const FORMS: readonly Form[] = [
  ...WIDTHS.flatMap(({ width, suffix, alu }) => [
    ...SOURCES.flatMap(({ operand, bit }) =>
      ALU.map(([operator, code, offset]) =>
        form(
          operator + suffix,
          alu | bit | code,
          ['dst', operand],
          { kind: 'alu', operator, width, operand },
          { offset },
        ),
      ),
    ),
    form(`neg${suffix}`, alu | AluCode.NEG, ['dst'], { kind: 'neg', width }),
    ...MOVSX.filter(([, to]) => to === width).map(([bits]) =>
      form(
        `movsx${bits}${width}`,
        alu | Source.X | AluCode.MOV,
        ['dst', 'src'],
        { kind: 'movsx', bits, width },
        { offset: bits },
      ),
    ),
  ]),
  ...ENDIAN.flatMap(([mnemonic, order, opcode]) =>
    ([16, 32, 64] as const).map((bits) =>
      form(`${mnemonic}${bits}`, opcode | AluCode.END, ['dst'], { kind: 'endian', order, bits }, { imm: bits }),
    ),
  ),
  ...LDDW.map(([loads, src, mnemonic, operand]) =>
    form(mnemonic, Class.LD | Mode.IMM | SizeCode.DW, ['dst', operand], { kind: 'lddw', loads }, { src }),
  ),
  ...SIZES.flatMap(({ size, suffix, code }) => [
    form(`ldx${suffix}`, Class.LDX | Mode.MEM | code, ['dst', '[src]'], { kind: 'load', size, signed: false }),
    ...(size === 8
      ? []
      : [form(`ldxs${suffix}`, Class.LDX | Mode.MEMSX | code, ['dst', '[src]'], { kind: 'load', size, signed: true })]),
    form(`st${suffix}`, Class.ST | Mode.MEM | code, ['[dst]', 'imm'], { kind: 'store', size, operand: 'imm' }),
    form(`stx${suffix}`, Class.STX | Mode.MEM | code, ['[dst]', 'src'], { kind: 'store', size, operand: 'src' }),
  ]),
  ...(
    [
      [8, SizeCode.DW, ''],
      [4, SizeCode.W, '32'],
    ] as const
  ).flatMap(([size, code, suffix]) =>
    ATOMIC.map(([operator, imm, mnemonic]) =>
      form(
        mnemonic + suffix,
        Class.STX | Mode.ATOMIC | code,
        ['[dst]', 'src'],
        { kind: 'atomic', operator, size, fetch: (imm & AtomicCode.FETCH) !== 0 },
        { imm },
      ),
    ),
  ),
  form('ja', Class.JMP | JumpCode.JA, ['jump offset'], { kind: 'jump' }),
  form('ja32', Class.JMP32 | JumpCode.JA, ['jump imm'], { kind: 'jump' }),
  ...WIDTHS.flatMap(({ width, suffix, jump }) =>
    SOURCES.flatMap(({ operand, bit }) =>
      BRANCH.map(([condition, code]) =>
        form(condition + suffix, jump | bit | code, ['dst', operand, 'jump offset'], {
          kind: 'branch',
          condition,
          width,
          operand,
        }),
      ),
    ),
  ),
  form('may_goto', Class.JMP | JumpCode.MAY, ['jump offset'], { kind: 'mayGoto' }),
  form('call', Class.JMP | JumpCode.CALL, ['imm'], { kind: 'call', callee: 'helper' }, { src: CallKind.HELPER }),
  form('call', Class.JMP | Source.X | JumpCode.CALL, ['dst'], { kind: 'call', callee: 'register' }),
  form(
    'call local',
    Class.JMP | JumpCode.CALL,
    ['jump imm'],
    { kind: 'call', callee: 'local' },
    { src: CallKind.LOCAL },
  ),
  // `offset` is the module whose BTF the number belongs to.
  form(
    'call kfunc',
    Class.JMP | JumpCode.CALL,
    ['imm', 'offset'],
    { kind: 'call', callee: 'kfunc' },
    { src: CallKind.KFUNC },
  ),
  form('exit', Class.JMP | JumpCode.EXIT, [], { kind: 'exit' }),
];

const BY_OPCODE: readonly (readonly Form[])[] = Array.from({ length: 256 }, (_, opcode) =>
  FORMS.filter((row) => row.opcode === opcode),
);

/** How to tell the forms of an opcode apart: by one field, if there are several. */
const VARIANTS = BY_OPCODE.map((forms) => {
  const field = FIELDS.find((candidate) => new Set(forms.map(({ fixed }) => fixed[candidate])).size > 1);
  if (field === undefined) return { field, only: forms[0] };
  // Reversed, so that of two names for the same form the first in the table counts.
  return { field, byValue: new Map(forms.map((row) => [row.fixed[field], row] as const).reverse()) };
});

/** The forms that share an opcode byte; none if it means nothing. */
export function formsOf(opcode: number): readonly Form[] {
  return BY_OPCODE[opcode] ?? [];
}

/** The form of a decoded or assembled instruction. @throws RangeError if it has none */
export function formOf(insn: Insn): Form {
  const variants = VARIANTS[insn.opcode]!;
  const found = variants.field === undefined ? variants.only : variants.byValue.get(insn[variants.field]);
  if (found === undefined)
    throw new RangeError(`no instruction has opcode 0x${insn.opcode.toString(16)} and these fields`);
  return found;
}

/** What an instruction does. @throws RangeError as `formOf` */
export function operationOf(insn: Insn): Operation {
  return formOf(insn).operation;
}

/** True if a form allows the value that `insn` has in `field`. */
export function fits(row: Form, field: Field, insn: Insn): boolean {
  const wanted = row.fixed[field];
  return wanted === undefined || wanted === insn[field];
}

function form(
  mnemonic: string,
  opcode: number,
  operands: readonly Operand[],
  operation: Operation,
  selectors: Partial<Record<Field, number>> = {},
): Form {
  const filled = operands.flatMap((operand) => FIELDS_OF[operand]);
  const fixed: Partial<Record<Field, number>> = {};
  for (const field of FIELDS) if (!filled.includes(field)) fixed[field] = selectors[field] ?? 0;
  const distance = operands.includes('jump offset') ? 'offset' : operands.includes('jump imm') ? 'imm' : undefined;
  return { mnemonic, opcode, operands, fixed, operation, distance };
}
