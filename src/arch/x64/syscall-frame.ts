/**
 * What lies on the stack while programs run in front of a system call or behind it. A call is made with this below the stack
 * pointer only if a program has changed its arguments: see syscall-changes.ts.
 *
 *     rsp of the site
 *       -128   the red zone
 *       -136   al: overflow, ah: the other flags       if they are kept
 *              the arguments that programs may change  if they do
 *              what a program changes, saved
 *              its frame
 */
import type { Assembler } from './assembler.ts';
import { at } from './memory.ts';
import { Reg } from './registers.ts';

/** Bytes below the stack pointer that belong to the function. System V ABI, AMD64 supplement, 3.2.2. */
const RED_ZONE = 128;
const WORD = 8;

export interface SyscallFrame {
  /** True if anything is put on the stack. */
  readonly usesStack: boolean;
  readonly keepsFlags: boolean;
  /** Arguments, the one that was pushed first in front. */
  readonly kept: readonly Reg[];
}

/** Bytes between the stack pointer of the site and what a program pushes. */
export function frameSize({ usesStack, keepsFlags, kept }: SyscallFrame): number {
  return (usesStack ? RED_ZONE : 0) + WORD * (Number(keepsFlags) + kept.length);
}

/** Changes r11 and flags. */
export function emitEnterFrame(a: Assembler, { usesStack, keepsFlags, kept }: SyscallFrame): void {
  if (usesStack) a.lea(Reg.RSP, at(Reg.RSP, -RED_ZONE));
  if (keepsFlags) {
    a.mov(Reg.R11, Reg.RAX);
    a.lahf();
    a.set('o', Reg.RAX);
    a.push(Reg.RAX);
    a.mov(Reg.RAX, Reg.R11);
  }
  for (const register of kept) a.push(register);
}

/** Changes r11. @param kept what becomes of the arguments: as they were, or as programs have left them */
export function emitLeaveFrame(a: Assembler, frame: SyscallFrame, kept: 'restored' | 'changed'): void {
  if (kept === 'restored') for (const register of frame.kept.toReversed()) a.pop(register);
  const unused = kept === 'restored' ? 0 : WORD * frame.kept.length;
  if (frame.keepsFlags) {
    if (unused > 0) a.lea(Reg.RSP, at(Reg.RSP, unused));
    a.mov(Reg.R11, Reg.RAX);
    a.pop(Reg.RAX);
    a.aluImm('add', Reg.RAX, 0x7f, 1);
    a.sahf();
    a.mov(Reg.RAX, Reg.R11);
  }
  if (frame.usesStack) a.lea(Reg.RSP, at(Reg.RSP, RED_ZONE + (frame.keepsFlags ? 0 : unused)));
}

/** To `changed` if an argument is no longer what was kept of it; flags are changed. */
export function emitCompareKept(a: Assembler, { kept }: SyscallFrame, changed: Parameters<Assembler['jcc']>[1]): void {
  for (const [n, register] of kept.toReversed().entries()) {
    a.alu('cmp', register, at(Reg.RSP, WORD * n));
    a.jcc('ne', changed);
  }
}
