/**
 * The trampoline of a probe: where the jump at the site leads. Nothing in it is general: it is the compiled programs,
 * the saves they need, and the instructions that the jump displaced.
 *
 *     for each program:  push <what it changes>
 *                        body
 *                        pop <the same, backwards>
 *                        jne bypass                  if it decides whether the function runs
 *     displaced:
 *     the displaced instructions
 *     jmp <behind the window>
 *     bypass: ret
 *     the functions that the bodies call
 *
 * With programs that run when the function returns, this stands before `displaced`:
 *
 *     push                                           the return address onto the thread's return stack
 *     je displaced                                   no room there: this call goes without
 *     lea rsp, [rsp+8]
 *     call displaced                                 the callee sees its stack arguments where it expects them, and
 *     back:                                          the processor's return predictor stays right
 *     lea rsp, [rsp-8]
 *     pop                                            the return address, into its place
 *     bypass:
 *     for each program:  as above
 *     ret
 *
 * On the stack lie only the pushes and the body's own frame; below the stack pointer nothing is used, since a signal may
 * come at any instruction. At a function entry, and behind its return, no caller's data lies below it either.
 */
import { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { at } from './memory.ts';
import { Reg } from './registers.ts';
import { moveWindow } from './window.ts';

export interface TrampolinePlace {
  /** Where the trampoline will lie. */
  readonly origin: bigint;
  /** The window's original bytes, and their address. */
  readonly window: Uint8Array;
  readonly site: bigint;
}

/** What it takes to be there when the function returns. Both ends see the return address where rsp points. */
export interface ReturnHook {
  /** Its result is zero if the return address could not be put away. */
  readonly push: LoweredProgram;
  readonly pop: LoweredProgram;
  /** Run in this order, with the stack pointer that the caller will see. */
  readonly programs: readonly LoweredProgram[];
}

export interface Trampoline {
  readonly bytes: Uint8Array;
  /** Address of each displaced instruction -> where it is now. */
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** What the function returns to, if there is a return hook. */
  readonly back: bigint | undefined;
}

/**
 * @param programs run when the function is entered, in this order; one with a result decides by it whether the function is
 *   bypassed: if it is not zero, the caller goes on with the registers as the program left them
 * @throws RangeError if a displaced instruction cannot do its work from there
 */
export function emitTrampoline(
  programs: readonly LoweredProgram[],
  { origin, window, site }: TrampolinePlace,
  returns?: ReturnHook,
): Trampoline {
  const a = new Assembler(origin);
  const [displaced, bypass] = [a.label(), a.label()];
  let back: bigint | undefined;
  for (const program of programs) {
    emitProgram(a, program, 0);
    if (program.result !== undefined) a.jcc('ne', bypass);
  }
  if (returns !== undefined) {
    emitProgram(a, returns.push, 0);
    a.jcc('e', displaced);
    a.lea(Reg.RSP, at(Reg.RSP, 8));
    a.call(displaced);
    back = a.address;
    a.lea(Reg.RSP, at(Reg.RSP, -8));
    emitProgram(a, returns.pop, 0);
    a.bind(bypass);
    for (const program of returns.programs) emitProgram(a, program, 8);
    a.ret();
  }
  a.bind(displaced);
  const moved = moveWindow(window, site, a.address);
  a.raw(moved.bytes);
  if (moved.fallsThrough) a.jmpTo(site + BigInt(window.length));
  if (returns === undefined) {
    a.bind(bypass);
    if (programs.some(({ result }) => result !== undefined)) a.ret();
  }
  const ends = returns === undefined ? [] : [returns.push, returns.pop, ...returns.programs];
  for (const program of [...programs, ...ends]) program.emitFunctions(a);
  return { bytes: a.finish(), moves: moved.moves, back };
}

/** Saves around a body; a result is left in the flags: zero or not. `above`: from rsp up to what the site's was. */
export function emitProgram(a: Assembler, program: LoweredProgram, above: number): void {
  const saved: readonly Reg[] = [...program.clobbered];
  for (const reg of saved) a.push(reg);
  program.emitBody(a, { siteStack: saved.length * 8 + above, saved });
  if (program.result !== undefined) a.test(program.result, program.result, 4);
  for (const reg of saved.toReversed()) a.pop(reg);
}
