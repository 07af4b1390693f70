/**
 * x86-64 general purpose registers and who may change them.
 * Source: Intel SDM vol. 2A, table 2-2 (numbers); System V ABI, AMD64 supplement 3.2.1 and A.2.1 (conventions).
 */
import type { Size } from '../../ir/value.ts';

/** The value is the hardware number. */
export const Reg = {
  RAX: 0,
  RCX: 1,
  RDX: 2,
  RBX: 3,
  RSP: 4,
  RBP: 5,
  RSI: 6,
  RDI: 7,
  R8: 8,
  R9: 9,
  R10: 10,
  R11: 11,
  R12: 12,
  R13: 13,
  R14: 14,
  R15: 15,
} as const;
export type Reg = (typeof Reg)[keyof typeof Reg];

/** All but the stack pointer; those with the shorter encodings first. */
export const GENERAL_REGISTERS: readonly Reg[] = [
  Reg.RAX,
  Reg.RCX,
  Reg.RDX,
  Reg.RSI,
  Reg.RDI,
  Reg.RBX,
  Reg.RBP,
  Reg.R8,
  Reg.R9,
  Reg.R10,
  Reg.R11,
  Reg.R12,
  Reg.R14,
  Reg.R15,
  Reg.R13,
];

/** Integer arguments of a System V function, in order. */
export const SYSV_ARGS: readonly Reg[] = [Reg.RDI, Reg.RSI, Reg.RDX, Reg.RCX, Reg.R8, Reg.R9];

/** What a System V function may change. */
export const SYSV_SCRATCH: readonly Reg[] = [
  Reg.RAX,
  Reg.RCX,
  Reg.RDX,
  Reg.RSI,
  Reg.RDI,
  Reg.R8,
  Reg.R9,
  Reg.R10,
  Reg.R11,
];

/** Arguments of compiled functions that only compiled code calls; the result is in rax. */
export const CALL_ARGS: readonly Reg[] = [...SYSV_ARGS, Reg.R10, Reg.R11];

/** Arguments of a Linux system call, in order; the number is in rax. */
export const SYSCALL_ARGS: readonly Reg[] = [Reg.RDI, Reg.RSI, Reg.RDX, Reg.R10, Reg.R8, Reg.R9];

/** What the `syscall` instruction and the kernel change. */
export const SYSCALL_SCRATCH: readonly Reg[] = [Reg.RAX, Reg.RCX, Reg.R11];

const LEGACY: readonly string[] = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'];

/** The name of the low `size` bytes of a register, as disassemblers print it. */
export function registerName(reg: Reg, size: Size = 8): string {
  const legacy = LEGACY[reg];
  if (legacy === undefined) return `r${reg}${{ 1: 'b', 2: 'w', 4: 'd', 8: '' }[size]}`;
  if (size === 1) return reg < 4 ? legacy.replace('x', 'l') : `${legacy}l`;
  return { 2: '', 4: 'e', 8: 'r' }[size] + legacy;
}
