/**
 * Trampolines of system calls: where the jumps beside a `syscall` lead. See syscall-sites.ts for where those stand.
 *
 *     before:   the instructions in front of the call      behind:   mov ecx, number         if a program asks
 *               programs                                             programs
 *               jmp <the syscall, in its place>                      the instructions behind the call
 *                                                                    jmp <behind those>
 *
 * No frame of ours lives across the call, since children of clone begin behind it on another stack and vfork's on the same
 * one; such a child, which finds zero in rax, passes the programs by. Nothing is kept in memory either: where the number is not
 * known beforehand and somebody behind the call asks for it, each number has a `syscall` of its own, so that the instruction
 * pointer keeps it.
 *
 *     around:   the instructions in front, programs
 *               for each number:  syscall; mov ecx, number; jmp end
 *               end: programs, the instructions behind; jmp <behind those>
 *
 * A program that answers the call itself leaves by way of the programs behind it. Calls with changed arguments: syscall-changes.ts.
 *
 * Where another session was there before, a nop stands behind the programs (in `around` those in front), which becomes a jump to its
 * trampoline for as long as that stays: behind the instructions in front of the call, which have been run.
 *
 * The kernel overwrites rcx and r11, so programs use them freely. They run below the red zone, and with the flags put aside where
 * somebody may look at them behind the call: syscall-frame.ts.
 */
import { Assembler, type Label } from './assembler.ts';
import type { LoweredProgram } from './lower.ts';
import { absolute, at, indexed } from './memory.ts';
import { moveWindow } from './move-window.ts';
import { NEAR_NOP } from './near-jump.ts';
import { Reg } from './registers.ts';
import { type ArgumentChanges, changedArguments, emitChangedCall, FIXED_ARGUMENTS } from './syscall-changes.ts';
import { emitCompareKept, emitEnterFrame, emitLeaveFrame, frameSize, type SyscallFrame } from './syscall-frame.ts';
import { SYSCALL_SIZE } from './syscall-sites.ts';

const WORD = 8;
/** Bytes from the `syscall` of one number to that of the next. */
const STUB_SIZE = 16;

/** Where a program finds the number of the call: its low half, in front of the call and behind it. */
export const NUMBER_IN = { before: Reg.RAX, behind: Reg.RCX } as const;
/** Where a program that reads it finds the address behind the `syscall`. */
export const PLACE_IN = Reg.R11;
/** Registers that hold nothing at a system call. */
export const SYSCALL_FREE: readonly Reg[] = [Reg.RCX, Reg.R11];

/** Calls that return twice: clone, fork, vfork, clone3. */
const RETURN_TWICE: ReadonlySet<number> = new Set([56, 57, 58, 435]);

/** A program at system calls. */
export interface SyscallProgram {
  readonly program: LoweredProgram;
  /** The call it is for; undefined if for all. */
  readonly number: number | undefined;
}

/** A call in the target, and what jumps displace there. */
export interface SyscallPlace {
  /** Address of the `syscall` instruction. */
  readonly at: bigint;
  /** Its number, if it is always the same. */
  readonly number: number | undefined;
  readonly keepsFlags: boolean;
  /** Whole instructions in front that are displaced. */
  readonly lead: Uint8Array;
  /** Whole instructions behind that are displaced. */
  readonly trail: Uint8Array;
  /** 'elsewhere': threads may be led on to another trampoline of the same place, behind the programs. */
  readonly goesOn?: 'behind' | 'elsewhere';
}

/** A trampoline, and where threads go on that are in the middle of what its jump replaces. */
export interface SyscallTrampoline {
  readonly bytes: Uint8Array;
  readonly moves: ReadonlyMap<bigint, bigint>;
  /** Where threads wait in the kernel that made the call from our code: the address of the `syscall` of each number. */
  readonly copies: ReadonlyMap<number | undefined, bigint>;
  /** How many bytes the instructions in front of the call take at its beginning. */
  readonly leadIn: number;
  /** Address of the nop that may become a jump to another trampoline. */
  readonly onward: bigint | undefined;
}

/** What runs in front of a call that stays in its place. @throws RangeError if a displaced instruction cannot do its work there */
export function emitBefore(
  programs: readonly SyscallProgram[],
  place: SyscallPlace,
  origin: bigint,
): SyscallTrampoline {
  const a = new Assembler(origin);
  const moves = emitLead(a, place);
  const leadIn = a.size;
  const answered = a.label();
  const behind = place.at + BigInt(SYSCALL_SIZE);
  const changes = emitPrograms(a, programs, place, 'before', () => answered);
  const onward = emitLink(a, place);
  a.jmpTo(place.at);
  if (changes !== undefined) {
    emitChangedCall(a, { ...changes, number: place.number, emitOnward: () => a.jmpTo(behind) });
  }
  if (programs.some(mayAnswer)) {
    a.bind(answered);
    a.jmpTo(behind);
  }
  for (const { program } of programs) program.emitFunctions(a);
  return { bytes: a.finish(), moves, copies: new Map(), leadIn, onward };
}

/** What runs behind a call of a known number. @throws as emitBefore */
export function emitBehind(
  programs: readonly SyscallProgram[],
  place: SyscallPlace,
  origin: bigint,
): SyscallTrampoline {
  const a = new Assembler(origin);
  const end = a.label();
  if (place.number === undefined) throw new TypeError('behind a call nothing is known of its number');
  if (RETURN_TWICE.has(place.number)) passByChild(a, end);
  if (programs.some(({ number }) => number === undefined)) a.movImm(NUMBER_IN.behind, BigInt(place.number));
  emitPrograms(a, programs, place, 'behind');
  a.bind(end);
  const onward = emitLink(a, place);
  const moves = emitTrail(a, place);
  for (const { program } of programs) program.emitFunctions(a);
  return { bytes: a.finish(), moves, copies: new Map(), leadIn: 0, onward };
}

/** What runs in front of and behind a call that is made from the trampoline. @throws as emitBefore */
export function emitAround(
  before: readonly SyscallProgram[],
  behind: readonly SyscallProgram[],
  place: SyscallPlace,
  origin: bigint,
): SyscallTrampoline {
  const a = new Assembler(origin);
  const copies = new Map<number | undefined, bigint>();
  const end = a.label();
  const moves = new Map(emitLead(a, place));
  const leadIn = a.size;
  const answered = new Map<number, Label>();
  const changes = emitPrograms(a, before, place, 'before', ({ number }) => {
    const label = answered.get(number!) ?? a.label();
    answered.set(number!, label);
    return label;
  });
  const onward = emitLink(a, place);
  const numbers = behind.some(({ number }) => number === undefined) ? 'all' : behind.map(({ number }) => number!);
  const toPrograms = a.label();
  const call = (number: number | undefined): void => {
    copies.set(number, a.address);
    a.syscall();
  };
  if (place.number !== undefined || behind.length === 0) {
    call(undefined);
    if (behind.length > 0) {
      if (RETURN_TWICE.has(place.number!)) passByChild(a, end);
      if (numbers === 'all') a.movImm(NUMBER_IN.behind, BigInt(place.number!));
    }
  } else if (numbers === 'all') {
    emitTable(a, place, { call, toPrograms, end });
  } else {
    for (const number of new Set(numbers)) emitOwnCall(a, number, { call, toPrograms, end });
    call(undefined);
    a.jmp(end);
  }
  a.bind(toPrograms);
  emitPrograms(a, behind, place, 'behind');
  a.bind(end);
  const trail = emitTrail(a, place);
  if (changes !== undefined) {
    const emitOnward = (): void => {
      if (numbers === 'all' && place.number !== undefined) a.movImm(NUMBER_IN.behind, BigInt(place.number));
      a.jmp(behind.length > 0 ? toPrograms : end);
    };
    const numberIn = behind.length > 0 ? NUMBER_IN.behind : undefined;
    emitChangedCall(a, { ...changes, number: place.number, numberIn, emitOnward });
  }
  for (const [number, label] of answered) {
    a.bind(label);
    a.movImm(NUMBER_IN.behind, BigInt(number));
    a.jmp(toPrograms);
  }
  for (const [from, to] of trail) moves.set(from, to);
  moves.set(place.at, copies.get(undefined)!);
  for (const { program } of [...before, ...behind]) program.emitFunctions(a);
  return { bytes: a.finish(), moves, copies, leadIn, onward };
}

/** Where the pieces of a trampoline that makes calls itself meet. */
interface OwnCalls {
  /** Writes a `syscall` and notes where it is. */
  call(number: number | undefined): void;
  readonly toPrograms: Label;
  readonly end: Label;
}

/** The call, if it has this number. */
function emitOwnCall(a: Assembler, number: number, { call, toPrograms, end }: OwnCalls): void {
  const [isIt, next] = [a.label(), a.label()];
  a.lea(Reg.RCX, at(Reg.RAX, -number), 4);
  a.jrcxz(isIt);
  a.jmp(next, 'near');
  a.bind(isIt);
  call(number);
  if (RETURN_TWICE.has(number)) passByChild(a, end);
  a.movImm(NUMBER_IN.behind, BigInt(number));
  a.jmp(toPrograms);
  a.bind(next);
}

/** Highest number with a call of its own in a table. Beyond what any kernel knows; those have one together. */
export const LAST_OF_TABLE = 511;

/** Jumps to the call of whatever number is in eax. */
function emitTable(a: Assembler, { keepsFlags }: SyscallPlace, { call, toPrograms, end }: OwnCalls): void {
  const [table, isKnown] = [a.label(), a.label()];
  if (keepsFlags) {
    a.mov(Reg.R11, Reg.RAX);
    a.lahf();
    a.set('o', Reg.RAX);
    a.xchg(Reg.RAX, Reg.R11);
  }
  const number = Reg.RCX;
  a.mov(number, Reg.RAX, 4);
  a.aluImm('cmp', number, LAST_OF_TABLE, 4);
  a.jcc('be', isKnown, 'short');
  a.movImm(number, BigInt(LAST_OF_TABLE + 1));
  a.bind(isKnown);
  a.shiftImm('shl', number, Math.log2(STUB_SIZE), 4);
  if (keepsFlags) {
    a.xchg(Reg.RAX, Reg.R11);
    a.aluImm('add', Reg.RAX, 0x7f, 1);
    a.sahf();
    a.mov(Reg.RAX, Reg.R11);
  }
  a.movLabel(Reg.R11, table);
  a.lea(number, indexed(Reg.R11, number, 1));
  a.jmpIndirect(number);
  const twice = new Map<number, Label>();
  while (a.size % STUB_SIZE !== 0) a.int3();
  a.bind(table);
  for (let n = 0; n <= LAST_OF_TABLE + 1; n++) {
    const isLast = n > LAST_OF_TABLE;
    call(isLast ? undefined : n);
    if (RETURN_TWICE.has(n)) {
      twice.set(n, a.label());
      a.jmp(twice.get(n)!);
    } else {
      a.movImm(NUMBER_IN.behind, isLast ? UNKNOWN : BigInt(n));
      a.jmp(toPrograms);
    }
    while (a.size % STUB_SIZE !== 0) a.int3();
  }
  for (const [n, label] of twice) {
    a.bind(label);
    passByChild(a, end);
    a.movImm(NUMBER_IN.behind, BigInt(n));
    a.jmp(toPrograms);
  }
}

/** What programs see behind a call of a number that no kernel knows: its low half is -1. */
const UNKNOWN = 0xffff_ffffn;

/** To `end` if rax is zero, with nothing but rcx changed. */
function passByChild(a: Assembler, end: Label): void {
  const [isChild, isParent] = [a.label(), a.label()];
  a.mov(Reg.RCX, Reg.RAX);
  a.jrcxz(isChild);
  a.jmp(isParent, 'short');
  a.bind(isChild);
  a.jmp(end);
  a.bind(isParent);
}

/** Room for a jump to another trampoline, where one is to be led on to. */
function emitLink(a: Assembler, { goesOn = 'behind' }: SyscallPlace): bigint | undefined {
  if (goesOn === 'behind') return undefined;
  const onward = a.address;
  a.raw(NEAR_NOP);
  return onward;
}

/** The instructions behind the call, and the jump behind those. */
function emitTrail(a: Assembler, { at: site, trail }: SyscallPlace): ReadonlyMap<bigint, bigint> {
  const behind = site + BigInt(SYSCALL_SIZE);
  const { bytes, moves, fallsThrough } = moveWindow(trail, behind, a.address);
  a.raw(bytes);
  if (fallsThrough) a.jmpTo(behind + BigInt(trail.length));
  return moves;
}

/** Farther from its place than short branches reach: as far as trampolines are. */
const AWAY = 1n << 28n;

/** How many bytes the instructions in front of a call take at the beginning of a trampoline. @throws as emitBefore */
export function leadInSize({ at: site, lead }: SyscallPlace): number {
  return moveWindow(lead, site - BigInt(lead.length), site + AWAY).bytes.length;
}

/** The instructions in front of the call. */
function emitLead(a: Assembler, { at: site, lead }: SyscallPlace): ReadonlyMap<bigint, bigint> {
  const { bytes, moves } = moveWindow(lead, site - BigInt(lead.length), a.address);
  a.raw(bytes);
  return moves;
}

/** @returns where calls go that have other arguments now, if programs may change them */
function emitPrograms(
  a: Assembler,
  programs: readonly SyscallProgram[],
  { at: site, number, keepsFlags }: SyscallPlace,
  when: 'before' | 'behind',
  answered?: (program: SyscallProgram) => Label,
): ArgumentChanges | undefined {
  if (programs.length === 0) return undefined;
  // Behind the call rcx has the number, which the next program may want.
  const free = programs.length > 1 && when === 'behind' ? [Reg.R11] : SYSCALL_FREE;
  const savedBy = programs.map(({ program }) => [...program.clobbered].filter((register) => !free.includes(register)));
  const kept = when === 'before' ? changedArguments(programs.map(({ program }) => program)) : [];
  const usesStack = keepsFlags || programs.some(({ program }, n) => program.stackBytes > 0 || savedBy[n]!.length > 0);
  const frame: SyscallFrame = { usesStack, keepsFlags, kept };
  emitEnterFrame(a, frame);
  for (const [n, one] of programs.entries()) {
    const { program, number: wanted } = one;
    const next = a.label();
    if (number === undefined && wanted !== undefined) {
      a.aluImm('cmp', NUMBER_IN[when], wanted, 4);
      a.jcc('ne', next);
    }
    if (program.reads.has(PLACE_IN)) a.lea(PLACE_IN, absolute(site + BigInt(SYSCALL_SIZE)));
    const saved = savedBy[n]!;
    for (const register of saved) a.push(register);
    program.emitBody(a, { siteStack: frameSize(frame) + saved.length * WORD, saved });
    if (mayAnswer(one)) a.test(program.result!, program.result!, 4);
    for (const register of saved.toReversed()) a.pop(register);
    if (mayAnswer(one) && answered !== undefined) {
      a.jcc('e', next);
      emitLeaveFrame(a, frame, 'restored');
      a.jmp(answered(one));
    }
    a.bind(next);
  }
  if (kept.length === 0 || FIXED_ARGUMENTS.has(number)) {
    emitLeaveFrame(a, frame, 'restored');
    return undefined;
  }
  const [changed, unchanged] = [a.label(), a.label()];
  emitCompareKept(a, frame, changed);
  emitLeaveFrame(a, frame, 'changed');
  a.bind(unchanged);
  return { frame, changed, unchanged };
}

/** True if its result says whether the call is made: if it is not zero, the caller goes on with what is in rax. */
export function mayAnswer({ program }: SyscallProgram): boolean {
  return program.result !== undefined;
}
