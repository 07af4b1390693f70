/** struct pt_regs of x86-64: what a uprobe program gets as its context. Linux arch/x86/include/uapi/asm/ptrace.h */
import { struct } from '../../bytes/struct.ts';
import type { SiteSource } from '../../ir/value.ts';
import { Reg } from './registers.ts';

export const PtRegs = struct('pt_regs', 168, {
  r15: 'u64',
  r14: 'u64',
  r13: 'u64',
  r12: 'u64',
  bp: 'u64',
  bx: 'u64',
  r11: 'u64',
  r10: 'u64',
  r9: 'u64',
  r8: 'u64',
  ax: 'u64',
  cx: 'u64',
  dx: 'u64',
  si: 'u64',
  di: 'u64',
  origAx: 'u64',
  ip: 'u64',
  cs: 'u64',
  flags: 'u64',
  sp: 'u64',
  ss: 'u64',
});

/** Selectors of 64-bit user space: Linux arch/x86/include/asm/segment.h. */
const USER_CS = 0x33n;
const USER_SS = 0x2bn;
/** No flag set but the one that always is: at a function entry the caller has left nothing in them. */
const ENTRY_FLAGS = 0x2n;

const register = (number: Reg): SiteSource => ({ in: 'register', register: number });
const constant = (value: bigint): SiteSource => ({ in: 'constant', value });

/** Where a trampoline in the middle of a function keeps the flags, from the stack pointer at the site; see trampoline.ts. */
export const SAVED_FLAGS = -144;

/** A field that no register and no constant holds. */
export interface FlagsSource {
  readonly in: 'savedFlags';
  /** From the stack pointer at the site, in bytes: a word with the overflow flag in bit 0 and lahf's byte in bits 8 to 15. */
  readonly offset: number;
}

/** The flags that are always what they are in user space: interrupts on, and the one that is always set. */
export const CONSTANT_FLAGS = 0x202n;
/** Of lahf's byte: sign, zero, adjust, parity, carry. */
export const LAHF_FLAGS = 0xd5n;
/** Place of the overflow flag. */
export const OVERFLOW_BIT = 11;

/** Where they live when a thread arrives at the instruction `ip` in the middle of a function. */
export function ptRegsInside(ip: bigint): Readonly<Record<keyof typeof PtRegs.offsetOf, SiteSource | FlagsSource>> {
  return { ...ptRegsAtEntry(ip), flags: { in: 'savedFlags', offset: SAVED_FLAGS } };
}

/** Where each field of pt_regs lives when a thread arrives at the function entry `ip`. */
export function ptRegsAtEntry(ip: bigint): Readonly<Record<keyof typeof PtRegs.offsetOf, SiteSource>> {
  return {
    r15: register(Reg.R15),
    r14: register(Reg.R14),
    r13: register(Reg.R13),
    r12: register(Reg.R12),
    bp: register(Reg.RBP),
    bx: register(Reg.RBX),
    r11: register(Reg.R11),
    r10: register(Reg.R10),
    r9: register(Reg.R9),
    r8: register(Reg.R8),
    ax: register(Reg.RAX),
    cx: register(Reg.RCX),
    dx: register(Reg.RDX),
    si: register(Reg.RSI),
    di: register(Reg.RDI),
    origAx: constant(0xffff_ffff_ffff_ffffn),
    ip: constant(ip),
    cs: constant(USER_CS),
    flags: constant(ENTRY_FLAGS),
    sp: { in: 'stackPointer', offset: 0 },
    ss: constant(USER_SS),
  };
}
