/** Instructions to text, in the style of llvm-objdump and of the kernel's verifier log. */
import { type AluOperator, formOf, type JumpCondition, type Operation, operationOf } from './form.ts';
import type { Insn } from './insn.ts';
import { targetSlot } from './layout.ts';

/** Who knows names gives them; numbers stand for the rest. */
export interface Names {
  /** The name of helper or kernel function `id`. */
  helper?(id: number): string | undefined;
  /** What a lddw loads, when that is not a number: 'map counts'. */
  reference?(insn: Insn): string | undefined;
  /** The label or function at `slot`. */
  label?(slot: number): string | undefined;
}

const ALU: Readonly<Record<AluOperator, string>> = {
  add: '+=',
  sub: '-=',
  mul: '*=',
  div: '/=',
  sdiv: 's/=',
  or: '|=',
  and: '&=',
  lsh: '<<=',
  rsh: '>>=',
  mod: '%=',
  smod: 's%=',
  xor: '^=',
  mov: '=',
  arsh: 's>>=',
};

const COMPARE: Readonly<Record<JumpCondition, string>> = {
  jeq: '==',
  jgt: '>',
  jge: '>=',
  jset: '&',
  jne: '!=',
  jsgt: 's>',
  jsge: 's>=',
  jlt: '<',
  jle: '<=',
  jslt: 's<',
  jsle: 's<=',
};

const ATOMIC = { add: '+=', or: '|=', and: '&=', xor: '^=' } as const;

type Printer<K extends Operation['kind']> = (
  operation: Extract<Operation, { kind: K }>,
  insn: Insn,
  names: Names,
) => string;

const PRINTERS: { readonly [K in Operation['kind']]: Printer<K> } = {
  alu: ({ operator, width, operand }, { dst, src, imm }) =>
    `${reg(dst, width)} ${ALU[operator]} ${operand === 'imm' ? imm : reg(src, width)}`,
  neg: ({ width }, { dst }) => `${reg(dst, width)} = -${reg(dst, width)}`,
  movsx: ({ bits, width }, { dst, src }) => `${reg(dst, width)} = (s${bits})${reg(src, width)}`,
  endian: ({ order, bits }, { dst }) => `r${dst} = ${order === 'swap' ? 'bswap' : order}${bits} r${dst}`,
  lddw: ({ loads }, insn, names) => {
    const name = names.reference?.(insn);
    if (name !== undefined) return `r${insn.dst} = ${name}`;
    const number = `0x${insn.imm64!.toString(16)}`;
    return loads === 'number'
      ? `r${insn.dst} = ${number} ll`
      : `r${insn.dst} = ${formOf(insn).mnemonic.replace('lddw ', '')}[${number}]`;
  },
  load: ({ size, signed }, { dst, src, offset }) =>
    `r${dst} = *(${signed ? 's' : 'u'}${size * 8} *)(${place(src, offset)})`,
  store: ({ size, operand }, { dst, src, offset, imm }) =>
    `*(u${size * 8} *)(${place(dst, offset)}) = ${operand === 'imm' ? imm : reg(src, size === 8 ? 64 : 32)}`,
  atomic: ({ operator, size, fetch }, { dst, src, offset }) => {
    const width = size === 8 ? 64 : 32;
    const at = place(dst, offset);
    const value = reg(src, width);
    const suffix = width === 64 ? '_64' : '32_32';
    if (operator === 'xchg') return `${value} = xchg${suffix}(${at}, ${value})`;
    if (operator === 'cmpxchg') return `${reg(0, width)} = cmpxchg${suffix}(${at}, ${reg(0, width)}, ${value})`;
    return fetch
      ? `${value} = atomic_fetch_${operator}((u${width} *)(${at}), ${value})`
      : `lock *(u${width} *)(${at}) ${ATOMIC[operator]} ${value}`;
  },
  jump: (_, insn, names) => `${formOf(insn).operands.includes('jump imm') ? 'gotol' : 'goto'} ${target(insn, names)}`,
  branch: ({ condition, width, operand }, insn, names) => {
    const other = operand === 'imm' ? `0x${(insn.imm >>> 0).toString(16)}` : reg(insn.src, width);
    return `if ${reg(insn.dst, width)} ${COMPARE[condition]} ${other} goto ${target(insn, names)}`;
  },
  mayGoto: (_, insn, names) => `may_goto ${target(insn, names)}`,
  call: ({ callee }, insn, names) => {
    if (callee === 'register') return `callx r${insn.dst}`;
    if (callee === 'helper') return `call ${names.helper?.(insn.imm) ?? insn.imm}`;
    if (callee === 'kfunc') return `call kfunc ${names.helper?.(insn.imm) ?? insn.imm}`;
    return `call ${names.label?.(targetSlot(insn)!) ?? `pc${signed(insn.imm)}`}`;
  },
  exit: () => 'exit',
};

/** One instruction as text. @throws RangeError if it is none that decodes */
export function disassemble(insn: Insn, names: Names = {}): string {
  const operation = operationOf(insn);
  const print = PRINTERS[operation.kind] as Printer<Operation['kind']>;
  return print(operation, insn, names);
}

function reg(register: number, width: 32 | 64): string {
  return `${width === 64 ? 'r' : 'w'}${register}`;
}

function place(register: number, offset: number): string {
  return `r${register} ${offset < 0 ? '-' : '+'} ${Math.abs(offset)}`;
}

function target(insn: Insn, names: Names): string {
  const slot = targetSlot(insn)!;
  const label = names.label?.(slot);
  return signed(slot - insn.slot - 1) + (label === undefined ? '' : ` <${label}>`);
}

function signed(distance: number): string {
  return distance < 0 ? `${distance}` : `+${distance}`;
}
