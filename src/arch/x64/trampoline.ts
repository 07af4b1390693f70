/**
 * The trampoline of a probe: where the jump at the site leads. Nothing in it is general: it is the compiled programs,
 * the saves they need, and the instructions that the jump displaced.
 *
 *     for each program:  push <what it changes>
 *                        body
 *                        pop <the same, backwards>
 *     the displaced instructions
 *     jmp <behind the window>
 *     the functions that the bodies call
 *
 * On the stack lie only the pushes and the body's own frame; below the stack pointer nothing is used, since a signal may
 * come at any instruction. At a function entry no caller's data lies below it either.
 */
import { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import type { Reg } from './registers.ts';
import { moveWindow } from './window.ts';

export interface TrampolinePlace {
  /** Where the trampoline will lie. */
  readonly origin: bigint;
  /** The window's original bytes, and their address. */
  readonly window: Uint8Array;
  readonly site: bigint;
}

export interface Trampoline {
  readonly bytes: Uint8Array;
  /** Address of each displaced instruction -> where it is now. */
  readonly moves: ReadonlyMap<bigint, bigint>;
}

/** @throws RangeError if a displaced instruction cannot do its work from there */
export function emitTrampoline(
  programs: readonly LoweredProgram[],
  { origin, window, site }: TrampolinePlace,
): Trampoline {
  const a = new Assembler(origin);
  for (const program of programs) emitProgram(a, program);
  const moved = moveWindow(window, site, a.address);
  a.raw(moved.bytes);
  if (moved.fallsThrough) a.jmpTo(site + BigInt(window.length));
  for (const program of programs) program.emitFunctions(a);
  return { bytes: a.finish(), moves: moved.moves };
}

function emitProgram(a: Assembler, program: LoweredProgram): void {
  const saved: readonly Reg[] = [...program.clobbered];
  for (const reg of saved) a.push(reg);
  program.emitBody(a, { siteStack: saved.length * 8 });
  for (const reg of saved.toReversed()) a.pop(reg);
}
