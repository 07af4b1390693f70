/**
 * The `syscall` instructions of a module and where jumps to our code can stand beside them. Found by decoding: the two bytes
 * occur in data and in the middle of instructions too.
 *
 * The instruction itself stays where it is wherever five bytes in front of it are free: a thread that sleeps in the kernel is
 * then nowhere near our code, and signal handlers, unwinders and restarted calls see the address that they know.
 *
 *     lead     mov eax, 1        <- a jump to what runs before the call
 *              syscall
 *     trail    cmp rax, -4095    <- a jump to what runs behind it
 */
import type { Instruction } from 'iced-x86';
import { toHex } from '../../bytes/hex.ts';
import type { CodeMap, FunctionRange } from './code-map.ts';
import { iced } from './iced.ts';
import { LengthDecoder } from './length.ts';
import { endsRun } from './move-window.ts';
import { decode, JUMP_SIZE, mayBeEntered, measureWindow } from './window.ts';

/** syscall */
const SYSCALL = Uint8Array.of(0x0f, 0x05);
export const SYSCALL_SIZE = SYSCALL.length;
/** How many instructions in front of a call its jump may begin. */
const LONGEST_LEAD = 8;
/** A constant further in front than this is not looked for. */
const LONGEST_WAY = 256;
/** How many instructions behind a call are looked at to see whether the flags matter. */
const FLAGS_HORIZON = 6;

/** A system call in the code of a module. */
export interface SyscallSite {
  /** Address of the `syscall` instruction, before relocation. */
  readonly at: number;
  /** The call's number, where it is the same every time; undefined where it is decided at run time. */
  readonly number: number | undefined;
  /** Bytes of whole instructions in front that the jump takes the place of; it lies over the `syscall` too if there are fewer than 5. */
  readonly lead: number;
  /** Bytes of whole instructions behind: if the `syscall` stays in place at least 5, for a jump of their own, or 0. */
  readonly trail: number;
  /** True if the flags are the same behind the call as in front, and somebody may look. */
  readonly keepsFlags: boolean;
}

/** A `syscall` that nothing can be attached to. */
export interface SyscallRefusal {
  readonly at: number;
  /** As of a site. */
  readonly number: number | undefined;
  /** A sentence. */
  readonly why: string;
}

export interface SyscallSites {
  readonly sites: readonly SyscallSite[];
  readonly refusals: readonly SyscallRefusal[];
}

/** Finds every system call that the code of a module makes. */
export function findSyscallSites(code: CodeMap): SyscallSites {
  const sites: SyscallSite[] = [];
  const refusals: SyscallRefusal[] = [];
  for (const [range, places] of byFunction(code)) {
    for (const found of syscallsIn(code, range, places)) {
      const place = placeJumps(code, found);
      if ('why' in place) refusals.push(place);
      else sites.push(place);
    }
  }
  return { sites, refusals };
}

/** A `syscall` that is reached, and what stands in front of it. */
interface Found {
  readonly at: number;
  readonly range: FunctionRange;
  /** Where the instructions in front begin, the nearest first, up to an endbr64. */
  readonly before: readonly number[];
  /** The instruction in front that last set eax, if it set it to a constant. */
  readonly constant: { readonly at: number; readonly value: number } | undefined;
}

/**
 * Where the bytes lie, by the function in front of them, up to the next: descriptions end early where a thread begins that
 * must not be unwound.
 */
function byFunction(code: CodeMap): ReadonlyMap<FunctionRange, readonly number[]> {
  const found = new Map<number, { readonly range: FunctionRange; readonly places: number[] }>();
  for (const at of code.occurrences(SYSCALL)) {
    const start = code.functionBefore(at)?.start;
    if (start === undefined) continue;
    const known = found.get(start) ?? {
      range: { start, end: code.functionBehind(start)?.start ?? at + LONGEST_WAY },
      places: [],
    };
    known.places.push(at);
    found.set(start, known);
  }
  return new Map([...found.values()].map(({ range, places }) => [range, places]));
}

/** Those of `places` where an instruction is reached from the start of its function. */
function syscallsIn(code: CodeMap, range: FunctionRange, places: readonly number[]): readonly Found[] {
  const from = { start: startOf(code, range.start), end: range.end };
  if (!mayBeInstructions(code, from, places)) return [];
  const targets = new Set<number>();
  for (let known = -1; ; known = targets.size) {
    const found = sweep(code, from, places, targets);
    // Branches back, seen only now, may lead to what was taken for data.
    if (found === undefined || found.length === places.length || targets.size === known) return found ?? [];
  }
}

/** mov rax, 15; syscall: what debuggers and unwinders know the return from a signal handler by. */
const SIGNAL_RETURN = '48c7c00f0000000f05';

/** The C library describes its return from signals as beginning a byte early, so that unwinders find it by its address. */
function startOf(code: CodeMap, described: number): number {
  return toHex(code.bytesAt(described + 1, SIGNAL_RETURN.length / 2)) === SIGNAL_RETURN ? described + 1 : described;
}

/** False if none of `places` is where an instruction begins: a quick look, since most are in the middle of one. */
function mayBeInstructions(code: CodeMap, { start }: FunctionRange, places: readonly number[]): boolean {
  const bytes = code.bytesAt(start, places.at(-1)! + SYSCALL_SIZE - start);
  const decoder = new LengthDecoder(bytes);
  const wanted = new Set(places.map((place) => place - start));
  for (let at = 0; at < bytes.length; ) {
    if (wanted.has(at)) return true;
    const length = decoder.decode(at);
    if (length === 0) return true;
    at += length;
  }
  return false;
}

/** Decodes a function; undefined if it does not decode. `targets`: where its branches lead, known so far and found now. */
function sweep(
  code: CodeMap,
  range: FunctionRange,
  places: readonly number[],
  targets: Set<number>,
): readonly Found[] | undefined {
  const found: Found[] = [];
  const { Code, FlowControl, InstructionInfoFactory } = iced();
  const factory = new InstructionInfoFactory();
  try {
    let before: number[] = [];
    let constant: Found['constant'];
    // Behind a jump or a return stands data, until something leads there.
    let isLive = true;
    for (const instruction of decode(code.bytesAt(range.start, range.end - range.start), range.start)) {
      const at = Number(instruction.ip);
      if (instruction.isInvalid) {
        if (isLive) return undefined;
        continue;
      }
      if (!isLive && (targets.has(at) || code.mayLandAt(at))) {
        [isLive, before, constant] = [true, [], undefined];
      }
      if (!isLive) continue;
      if (instruction.code === Code.Syscall) {
        if (places.includes(at)) found.push({ at, range, before: before.slice(-LONGEST_LEAD).reverse(), constant });
        constant = undefined;
      } else
        constant =
          constantIn(instruction, at) ?? (constant && !mayChangeRax(instruction, factory) ? constant : undefined);
      const { flowControl, code: kind } = instruction;
      if (flowControl === FlowControl.ConditionalBranch || flowControl === FlowControl.UnconditionalBranch) {
        targets.add(Number(instruction.nearBranchTarget));
      }
      if (kind === Code.Endbr64) before = [];
      else before.push(at);
      isLive = !endsRun(instruction) && flowControl !== FlowControl.Exception;
    }
  } finally {
    factory.free();
  }
  return found;
}

/** What an instruction sets eax to, if that is a constant. */
function constantIn(instruction: Instruction, at: number): Found['constant'] {
  const { Code, Register } = iced();
  const { code } = instruction;
  if (code === Code.Xor_rm32_r32 || code === Code.Xor_r32_rm32) {
    const isZero = instruction.op0Register === Register.EAX && instruction.op1Register === Register.EAX;
    return isZero ? { at, value: 0 } : undefined;
  }
  const isMove = code === Code.Mov_r32_imm32 || code === Code.Mov_rm64_imm32 || code === Code.Mov_r64_imm64;
  const register = instruction.op0Register;
  if (!isMove || (register !== Register.EAX && register !== Register.RAX)) return undefined;
  return { at, value: Number(BigInt.asIntN(32, instruction.immediate(1))) };
}

/** True unless it is certain that the instruction leaves all of rax as it is. */
function mayChangeRax(instruction: Instruction, factory: import('iced-x86').InstructionInfoFactory): boolean {
  const { FlowControl, OpAccess, Register, RegisterExt } = iced();
  const { flowControl } = instruction;
  if (flowControl === FlowControl.Call || flowControl === FlowControl.IndirectCall) return true;
  const info = factory.info(instruction);
  try {
    return info.usedRegisters().some((used) => {
      const isWritten = used.access !== OpAccess.Read && used.access !== OpAccess.CondRead;
      const isRax = RegisterExt.fullRegister(used.register) === Register.RAX;
      used.free();
      return isWritten && isRax;
    });
  } finally {
    info.free();
  }
}

/** Where the jumps of a call can stand, if there is room for them. */
function placeJumps(code: CodeMap, { at, range, before, constant }: Found): SyscallSite | SyscallRefusal {
  const behind = at + SYSCALL_SIZE;
  const isStraight = (from: number): boolean => {
    const window = measureWindow(code, from, range, behind - from);
    return !('reason' in window) && window.length === behind - from;
  };
  const isConstant = constant !== undefined && at - constant.at <= LONGEST_WAY && isStraight(constant.at);
  const number = isConstant ? constant.value : undefined;
  const keepsFlags = mayReadFlags(code, behind);
  /** Bytes behind, at least `wanted`; 0 if there are not. What leads there otherwise has made no call. */
  const behindIt = (wanted: number): number => {
    const window = mayBeEntered(code, behind) ? undefined : measureWindow(code, behind, range, wanted);
    return window === undefined || 'reason' in window ? 0 : window.length;
  };
  const start = before.find((from) => at - from >= JUMP_SIZE);
  if (start !== undefined && isStraight(start)) {
    return { at, number, lead: at - start, trail: behindIt(JUMP_SIZE), keepsFlags };
  }
  for (const from of [...before.filter((one) => at - one < JUMP_SIZE).reverse(), at]) {
    const wanted = JUMP_SIZE - (behind - from);
    if (from < at && !isStraight(from)) continue;
    const trail = wanted > 0 ? behindIt(wanted) : 0;
    if (trail >= wanted) return { at, number, lead: at - from, trail, keepsFlags };
  }
  return { at, number, why: 'the bytes around it are not free for a jump: something leads between them' };
}

/** Carry, parity, adjust, zero, sign and overflow, as iced-x86 numbers them. */
function arithmeticFlags(): number {
  const { RflagsBits } = iced();
  return RflagsBits.CF | RflagsBits.PF | RflagsBits.AF | RflagsBits.ZF | RflagsBits.SF | RflagsBits.OF;
}

/** False if the instructions from `from` on overwrite the flags, or return, before they look at them. */
function mayReadFlags(code: CodeMap, from: number): boolean {
  const { FlowControl } = iced();
  let left = arithmeticFlags();
  let horizon = FLAGS_HORIZON;
  for (const instruction of decode(code.bytesAt(from, 64), from)) {
    if (instruction.isInvalid || (instruction.rflagsRead & left) !== 0 || horizon-- === 0) return true;
    left &= ~instruction.rflagsModified;
    const { flowControl } = instruction;
    if (left === 0 || flowControl === FlowControl.Return) return false;
    if (flowControl !== FlowControl.Next) return true;
  }
  return true;
}
