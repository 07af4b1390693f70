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
 * come at any instruction. At a function entry no caller's data lies below it either, and no flag matters.
 *
 * In the middle of a function both do: programs there run below the red zone, with the flags put aside. Flags are read
 * and written by lahf and sahf, which is some ten times faster than pushfq and popfq; the overflow flag, which those
 * leave out, is made again by adding 127 to what it was.
 *
 *     rsp of the site
 *       -128   the red zone: the function's
 *       -136   rax
 *       -144   al: overflow, ah: the other flags
 *              pushes, the body's frame
 */
import { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { at } from './memory.ts';
import { moveWindow } from './move-window.ts';
import { SAVED_FLAGS } from './pt-regs.ts';
import { Reg } from './registers.ts';

/** Bytes below the stack pointer that belong to the function. System V ABI, AMD64 supplement, 3.2.2. */
const RED_ZONE = 128;

/** Programs at an instruction that is no function entry. */
export interface InnerPoint {
  /** Address of an instruction of the window. */
  readonly at: bigint;
  /** Compiled for `ptRegsInside`. */
  readonly programs: readonly LoweredProgram[];
}

export interface TrampolinePlace {
  /** Where the trampoline will lie. */
  readonly origin: bigint;
  /** The window's original bytes, and their address. */
  readonly window: Uint8Array;
  readonly site: bigint;
  /** In ascending order of address. */
  readonly inside?: readonly InnerPoint[];
}

export interface Trampoline {
  readonly bytes: Uint8Array;
  /** Address of each displaced instruction -> where a thread goes on that was about to run it. */
  readonly moves: ReadonlyMap<bigint, bigint>;
}

/**
 * @param programs run first, as at a function entry
 * @throws RangeError if a displaced instruction cannot do its work from there
 */
export function emitTrampoline(
  programs: readonly LoweredProgram[],
  { origin, window, site, inside = [] }: TrampolinePlace,
): Trampoline {
  const a = new Assembler(origin);
  const moves = new Map<bigint, bigint>();
  let done = site;
  let fallsThrough = true;
  const moveUpTo = (end: bigint): void => {
    if (end === done) return;
    const moved = moveWindow(window.subarray(Number(done - site), Number(end - site)), done, a.address);
    a.raw(moved.bytes);
    // Who is at the instruction of a probe has yet to reach the probe.
    for (const [from, to] of moved.moves) if (!moves.has(from)) moves.set(from, to);
    fallsThrough = moved.fallsThrough;
    done = end;
  };

  for (const program of programs) emitProgram(a, program, 0);
  for (const point of inside) {
    moveUpTo(point.at);
    moves.set(point.at, a.address);
    emitInside(a, point.programs);
  }
  moveUpTo(site + BigInt(window.length));
  if (fallsThrough) a.jmpTo(done);
  for (const program of [...programs, ...inside.flatMap((point) => point.programs)]) program.emitFunctions(a);
  return { bytes: a.finish(), moves };
}

/** @param below bytes from the site's stack pointer down to where the program may push */
function emitProgram(a: Assembler, program: LoweredProgram, below: number): void {
  const saved: readonly Reg[] = [...program.clobbered];
  for (const reg of saved) a.push(reg);
  program.emitBody(a, { siteStack: below + saved.length * 8 });
  for (const reg of saved.toReversed()) a.pop(reg);
}

function emitInside(a: Assembler, programs: readonly LoweredProgram[]): void {
  a.lea(Reg.RSP, at(Reg.RSP, -RED_ZONE));
  a.push(Reg.RAX);
  a.lahf();
  a.set('o', Reg.RAX);
  a.push(Reg.RAX);
  for (const program of programs) {
    a.mov(Reg.RAX, at(Reg.RSP, 8));
    emitProgram(a, program, -SAVED_FLAGS);
  }
  a.pop(Reg.RAX);
  a.aluImm('add', Reg.RAX, 0x7f, 1);
  a.sahf();
  a.pop(Reg.RAX);
  a.lea(Reg.RSP, at(Reg.RSP, RED_ZONE));
}
