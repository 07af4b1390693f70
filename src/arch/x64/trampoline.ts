/**
 * The trampoline of a probe: where the jump at the site leads. Nothing in it is general: it is the compiled programs,
 * the saves they need, and the instructions that the jump displaced.
 *
 *     for each program:  push <what it changes>      once for several that follow each other: shared-saves.ts
 *                        body
 *                        pop <the same, backwards>
 *                        jne bypass                  if it decides whether the function runs
 *     displaced:
 *     onward: nop                 where another session was there before: a jump to its trampoline, while it stays
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
 * come at any instruction. At a function entry, and behind its return, no caller's data lies below it either, and no
 * flag matters.
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
 *
 * They are among the displaced instructions, each in front of its own: who comes by the return hook meets them too.
 */
import { Assembler } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { at } from './memory.ts';
import { moveWindow } from './move-window.ts';
import { NEAR_NOP } from './near-jump.ts';
import { SAVED_FLAGS } from './pt-regs.ts';
import { Reg } from './registers.ts';
import { emitPrograms, type PlacedProgram } from './shared-saves.ts';

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
  /** 'elsewhere': threads may be led on to another trampoline of the same site, in place of the displaced instructions. */
  readonly goesOn?: 'behind' | 'elsewhere';
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
  /** Address of each displaced instruction -> where a thread goes on that was about to run it. */
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** What the function returns to, if there is a return hook. */
  readonly back: bigint | undefined;
  /** Address of the nop that may become a jump to another trampoline; not where programs stand further behind. */
  readonly onward: bigint | undefined;
}

/**
 * @param programs run when the function is entered, in this order; one with a result decides by it whether the function is
 *   bypassed: if it is not zero, the caller goes on with the registers as the program left them
 * @throws RangeError if a displaced instruction cannot do its work from there
 */
export function emitTrampoline(
  programs: readonly LoweredProgram[],
  { origin, window, site, inside = [], goesOn = 'behind' }: TrampolinePlace,
  returns?: ReturnHook,
): Trampoline {
  const a = new Assembler(origin);
  const [displaced, bypass] = [a.label(), a.label()];
  const canBypass = programs.some(({ result }) => result !== undefined);
  let back: bigint | undefined;
  emitPrograms(a, placed(returns === undefined ? programs : [...programs, returns.push], 0), (program) => {
    if (program === returns?.push) a.jcc('e', displaced);
    else a.jcc('ne', bypass);
  });
  if (returns !== undefined) {
    a.lea(Reg.RSP, at(Reg.RSP, 8));
    a.call(displaced);
    back = a.address;
    a.lea(Reg.RSP, at(Reg.RSP, -8));
    const [pop, ends] = [placed([returns.pop], 0), placed(returns.programs, 8)];
    if (canBypass) {
      emitPrograms(a, pop);
      a.bind(bypass);
      emitPrograms(a, ends);
    } else emitPrograms(a, [...pop, ...ends]);
    a.ret();
  }
  a.bind(displaced);
  const { moves, onward } = emitDisplaced(a, { window, site, inside, goesOn });
  if (returns === undefined) {
    a.bind(bypass);
    if (canBypass) a.ret();
  }
  const ends = returns === undefined ? [] : [returns.push, returns.pop, ...returns.programs];
  const inner = inside.flatMap((point) => point.programs);
  for (const program of [...programs, ...ends, ...inner]) program.emitFunctions(a);
  return { bytes: a.finish(), moves, back, onward };
}

/** The window's instructions with the programs between them, and the jump behind the window. */
function emitDisplaced(
  a: Assembler,
  { window, site, inside, goesOn }: Required<Omit<TrampolinePlace, 'origin'>>,
): Pick<Trampoline, 'moves' | 'onward'> {
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
  for (const point of inside) {
    moveUpTo(point.at);
    moves.set(point.at, a.address);
    emitInside(a, point.programs);
  }
  let onward: bigint | undefined;
  if (goesOn === 'elsewhere' && done === site) {
    onward = a.address;
    a.raw(NEAR_NOP);
  }
  moveUpTo(site + BigInt(window.length));
  if (fallsThrough) a.jmpTo(done);
  return { moves, onward };
}

const placed = (programs: readonly LoweredProgram[], above: number): PlacedProgram[] =>
  programs.map((program) => ({ program, above }));

function emitInside(a: Assembler, programs: readonly LoweredProgram[]): void {
  a.lea(Reg.RSP, at(Reg.RSP, -RED_ZONE));
  a.push(Reg.RAX);
  a.lahf();
  a.set('o', Reg.RAX);
  a.push(Reg.RAX);
  a.mov(Reg.RAX, at(Reg.RSP, 8));
  emitPrograms(a, placed(programs, -SAVED_FLAGS));
  // A program that may write to its context may have changed it.
  a.mov(at(Reg.RSP, 8), Reg.RAX);
  a.pop(Reg.RAX);
  a.aluImm('add', Reg.RAX, 0x7f, 1);
  a.sahf();
  a.pop(Reg.RAX);
  a.lea(Reg.RSP, at(Reg.RSP, RED_ZONE));
}
