/**
 * Calls whose arguments a program has changed. The caller relies on its registers behind a call, so what it had in them is kept on
 * the stack, and such a call is made from the trampoline, with that below the stack pointer:
 *
 *     changed:  syscall
 *               the caller's arguments and flags; rsp as it was
 *               on to what is behind the call
 *
 * All other calls are made where they are made without such a program. A thread that waits in a changed call cannot be led away
 * from our code: that stays as long as the thread.
 */
import type { Assembler, Label } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { Reg, SYSCALL_ARGS } from './registers.ts';
import { emitLeaveFrame, type SyscallFrame } from './syscall-frame.ts';

const TWICE = 'it returns twice, and its child elsewhere or on the same stack';

/** Calls whose arguments stay as they are, and why: what is kept on the stack might not be there behind them. */
export const FIXED_ARGUMENTS: ReadonlyMap<number | undefined, string> = new Map([
  [11, 'munmap may be for the stack of whoever calls it'],
  [15, 'rt_sigreturn has its argument on the stack'],
  [56, `clone: ${TWICE}`],
  [57, `fork: ${TWICE}`],
  [58, `vfork: ${TWICE}`],
  [435, `clone3: ${TWICE}`],
]);

/** Numbers from here on mean the same calls to kernels that serve x32. */
const X32 = 0x4000_0000;

/** The arguments that programs may change. */
export function changedArguments(programs: readonly LoweredProgram[]): readonly Reg[] {
  return SYSCALL_ARGS.filter((register) => programs.some(({ changes }) => changes.has(register)));
}

/** Where programs in front of a call lead to if they have changed its arguments. */
export interface ArgumentChanges {
  readonly frame: SyscallFrame;
  readonly changed: Label;
  /** Where calls go on that are made as they are. */
  readonly unchanged: Label;
}

export interface ChangedCall extends ArgumentChanges {
  /** The call's number; undefined if it is in eax. */
  readonly number: number | undefined;
  /** The register whose low half is to have the number behind the call, if it was in eax. */
  readonly numberIn?: Reg | undefined;
  /** Writes what comes behind the call; may change rcx and r11. */
  emitOnward(): void;
}

/** Writes the call with its changed arguments, behind code that does not fall through. */
export function emitChangedCall(a: Assembler, call: ChangedCall): void {
  const { frame, changed, unchanged, number, numberIn } = call;
  const refused = a.label();
  a.bind(changed);
  if (number === undefined) {
    a.aluImm('cmp', Reg.RAX, X32, 4);
    a.jcc('ae', refused);
    for (const fixed of FIXED_ARGUMENTS.keys()) {
      a.aluImm('cmp', Reg.RAX, fixed!, 4);
      a.jcc('e', refused);
    }
    if (numberIn !== undefined) a.push(Reg.RAX);
  }
  a.syscall();
  if (number === undefined && numberIn !== undefined) a.pop(numberIn);
  emitLeaveFrame(a, frame, 'restored');
  call.emitOnward();
  if (number !== undefined) return;
  a.bind(refused);
  emitLeaveFrame(a, frame, 'restored');
  a.jmp(unchanged);
}
