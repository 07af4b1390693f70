/**
 * The window of a probe: the whole instructions at a place that a jump replaces. Found by decoding, never guessed: what
 * cannot be proven movable is refused with a reason.
 *
 * A 5-byte jump is the rule. Where its bytes are not free - the function is shorter, a branch leads between them, a call
 * returns there - the window may begin at an instruction in front, or two bytes may be free: for a short jump to five bytes
 * of padding between functions, and from there the long one.
 */
import type { Decoder, Instruction } from 'iced-x86';
import { toHex } from '../../bytes/hex.ts';
import type { CodeMap, FunctionRange } from './code-map.ts';
import { iced } from './iced.ts';
import { endsRun } from './move-window.ts';
import { plainLengths } from './plain-code.ts';
import { SHORT_JUMP_SIZE } from './short-jump.ts';

/** jmp rel32 */
export const JUMP_SIZE = 5;
/** endbr64: stays in place, since indirect branches must find it there. */
const ENDBR64 = 'f30f1efa';
const LONGEST_INSTRUCTION = 15;
/** How many instructions in front of a place its window may begin. */
const LONGEST_LEAD = 4;
/** How far a branch of one byte reaches, in both directions, from behind it. */
const SHORT_REACH = { back: 128, ahead: 127 } as const;
/** Code longer than this is not decoded to see where its instructions begin. */
const LONGEST_RUN = 1 << 20;

/** lock, repne (bnd), rep, cs and ds (branch hints, notrack), operand size. */
const PREFIXES: ReadonlySet<number> = new Set([0xf0, 0xf2, 0xf3, 0x2e, 0x3e, 0x66]);

export interface Window {
  /** Bytes from the place asked for to the window: 4 behind an endbr64, else 0. */
  readonly skip: number;
  /** Bytes of instructions in front of the probe's own that the window takes too. */
  readonly lead: number;
  /** Bytes of the whole instructions in it: at least as many as its jump has. */
  readonly length: number;
  /** Where the jump goes by way of padding: places for the long jump, the nearest first. Undefined if it goes straight. */
  readonly islands: readonly number[] | undefined;
  /** Its instructions make use of flags that were set in front of it. */
  readonly readsFlags: boolean;
}

/** Why there is no window. */
export interface WindowRefusal {
  readonly reason:
    | 'too short'
    | 'branch into it'
    | 'cannot be moved'
    | 'does not decode'
    | 'not in the function'
    | 'not an instruction';
  /** A sentence that names the instruction or the bytes. */
  readonly detail: string;
}

/**
 * Finds the window for a probe at `at`.
 *
 * @param within the function that holds it; if its end is not known, the next one bounds it
 */
export function findWindow(code: CodeMap, at: number, within: FunctionRange): Window | WindowRefusal {
  const range = { start: within.start, end: within.end > within.start ? within.end : endOf(code, within.start) };
  if (at < range.start || at >= range.end) {
    return { reason: 'not in the function', detail: `it has ${range.end - range.start} bytes` };
  }
  const before = instructionsBefore(code, range.start, at);
  if (before === undefined) {
    return { reason: 'not an instruction', detail: `no instruction begins at +${at - range.start}` };
  }
  const skip = toHex(code.bytesAt(at, 4)) === ENDBR64 ? 4 : 0;
  const long = measureWindow(code, at + skip, range, JUMP_SIZE);
  if (!('reason' in long)) return { ...long, skip, lead: 0, islands: undefined };
  for (const start of before) {
    const shifted = measureWindow(code, start, range, Math.max(JUMP_SIZE, at + skip + 1 - start));
    if (!('reason' in shifted)) return { ...shifted, skip, lead: at + skip - start, islands: undefined };
  }
  const short = measureWindow(code, at + skip, range, SHORT_JUMP_SIZE);
  if ('reason' in short) return long;
  const islands = findIslands(code, at + skip);
  if (islands.length === 0) return { ...long, detail: `${long.detail}; no padding is near for a shorter jump` };
  return { ...short, skip, lead: 0, islands };
}

/** Takes whole instructions from `at` until `size` bytes are covered, if a jump may replace them all. */
export function measureWindow(
  code: CodeMap,
  at: number,
  range: FunctionRange,
  size: number,
): Pick<Window, 'length' | 'readsFlags'> | WindowRefusal {
  const bytes = code.bytesAt(at, size + LONGEST_INSTRUCTION);
  const taken = takePlain(bytes, at, range, size) ?? takeInstructions(bytes, at, range, size);
  if ('reason' in taken) return taken;
  const { length, readsFlags, doors } = taken;
  doors.delete(at);
  if ([...doors].some((door) => code.mayLandAt(door))) {
    const detail = `something may lead into the ${length} bytes that the jump would replace: a branch, a table, a label`;
    return { reason: 'branch into it', detail };
  }
  const branch = findShortBranch(code, doors);
  if (branch === undefined) return { length, readsFlags };
  const place = branch - range.start;
  const detail = `the branch at ${place < 0 ? '' : '+'}${place} leads into the ${length} bytes that the jump would replace`;
  return { reason: 'branch into it', detail };
}

/** Whole instructions, each of which may be moved. */
interface Taken extends Pick<Window, 'length' | 'readsFlags'> {
  /** Where among them control could arrive, if anything led there. */
  readonly doors: Set<number>;
}

function takePlain(bytes: Uint8Array, at: number, range: FunctionRange, size: number): Taken | undefined {
  const lengths = plainLengths(bytes.subarray(0, range.end - at), size);
  if (lengths === undefined) return undefined;
  const doors = new Set<number>();
  let length = 0;
  for (const one of lengths) {
    for (const door of doorsOf(bytes, length, one)) doors.add(at + door);
    length += one;
  }
  return { length, readsFlags: false, doors };
}

function takeInstructions(bytes: Uint8Array, at: number, range: FunctionRange, size: number): Taken | WindowRefusal {
  let length = 0;
  let ended = false;
  let readsFlags = false;
  let flagsWritten = 0;
  let refusal: WindowRefusal | undefined;
  const doors = new Set<number>();
  for (const instruction of decode(bytes, at)) {
    if (instruction.isInvalid) {
      const found = toHex(bytes.subarray(length, length + 8));
      return { reason: 'does not decode', detail: `${found} is no instruction` };
    }
    const isLast = length + instruction.length >= size;
    if (ended || at + length >= range.end) {
      if (!isPadding(instruction)) {
        const detail = `it has ${length} bytes and other code follows; a jump needs ${size}`;
        return { reason: 'too short', detail };
      }
    } else {
      const obstacle = whyImmovable(instruction, isLast);
      if (obstacle !== undefined) refusal ??= { reason: 'cannot be moved', detail: obstacle };
    }
    readsFlags ||= (instruction.rflagsRead & ~flagsWritten) !== 0;
    flagsWritten |= instruction.rflagsModified;
    for (const door of doorsOf(bytes, length, instruction.length)) doors.add(at + door);
    ended ||= endsRun(instruction);
    length += instruction.length;
    if (isLast) break;
  }
  if (refusal !== undefined) return refusal;
  if (length < size) return { reason: 'too short', detail: `the code ends ${length} bytes behind it` };
  return { length, readsFlags, doors };
}

/** True if control may come to `address` other than from the instruction in front. */
export function mayBeEntered(code: CodeMap, address: number): boolean {
  return code.mayLandAt(address) || findShortBranch(code, new Set([address])) !== undefined;
}

/** Where an instruction can be entered: at its first byte, and behind prefixes, as code does that skips a lock. */
function* doorsOf(bytes: Uint8Array, start: number, length: number): Generator<number> {
  for (let at = start; at < start + length; at++) {
    yield at;
    if (!PREFIXES.has(bytes[at]!)) return;
  }
}

/** The address of a branch of one byte's reach that leads to one of `places`, or undefined. */
function findShortBranch(code: CodeMap, places: ReadonlySet<number>): number | undefined {
  if (places.size === 0) return undefined;
  const [start, end] = [Math.min(...places), Math.max(...places)];
  const { address, bytes } = code.around(start, SHORT_REACH.ahead + SHORT_JUMP_SIZE, end + SHORT_REACH.back - start);
  for (let n = 0; n + 1 < bytes.length; n++) {
    const opcode = bytes[n]!;
    // jcc rel8; loopne, loope, loop, jrcxz rel8; jmp rel8
    if (opcode >> 4 !== 7 && (opcode < 0xe0 || opcode > 0xe3) && opcode !== 0xeb) continue;
    const from = address + n;
    const target = from + SHORT_JUMP_SIZE + ((bytes[n + 1]! << 24) >> 24);
    if (!places.has(target)) continue;
    const known = code.functionBefore(from);
    if (known === undefined || mayBeginInstruction(code, known.start, from)) return from;
  }
  return undefined;
}

/** True if an instruction begins at `address`, or behind prefixes of one: the processor does not mind. */
function mayBeginInstruction(code: CodeMap, start: number, address: number): boolean {
  if (address - start > LONGEST_RUN) return true;
  let last = start;
  let length = 0;
  for (const instruction of decode(code.bytesAt(start, address - start + LONGEST_INSTRUCTION), start)) {
    if (last + instruction.length > address) {
      length = instruction.length;
      break;
    }
    last += instruction.length;
  }
  const prefixes = code.bytesAt(last, address - last);
  return length === 0 || prefixes.every((byte) => PREFIXES.has(byte) || byte >> 4 === 4);
}

/** Where the instructions in front of `address` begin, a few, the nearest first; undefined if none begins at `address`. */
function instructionsBefore(code: CodeMap, start: number, address: number): readonly number[] | undefined {
  if (address === start) return [];
  if (address - start > LONGEST_RUN) return undefined;
  const before: number[] = [];
  let at = start;
  for (const instruction of decode(code.bytesAt(start, address - start), start)) {
    if (instruction.isInvalid) return undefined;
    // An endbr64 must stay where it is.
    if (toHex(code.bytesAt(at, 4)) === ENDBR64) before.length = 0;
    else before.push(at);
    at += instruction.length;
  }
  return at === address ? before.slice(-LONGEST_LEAD).reverse() : undefined;
}

/** Every place near enough for a short jump at `from` where a long jump fits between functions. */
function findIslands(code: CodeMap, from: number): readonly number[] {
  const start = from + SHORT_JUMP_SIZE - SHORT_REACH.back;
  const end = from + SHORT_JUMP_SIZE + SHORT_REACH.ahead;
  const around = code.functionsAround(start, end + LONGEST_INSTRUCTION);
  const islands: number[] = [];
  for (const { start: begin, end: gap } of around) {
    const next = code.functionBehind(begin)?.start;
    if (next === undefined || gap === begin || next - gap < JUMP_SIZE || gap > end) continue;
    if (!isPaddingBehind(code, begin, gap, next)) continue;
    for (let at = gap; at + JUMP_SIZE <= next; at += JUMP_SIZE) if (at >= start && at <= end) islands.push(at);
  }
  return islands.sort((a, b) => Math.abs(a - from) - Math.abs(b - from));
}

/** True if the bytes between a function that ends at `gap` and the `next` are never run. */
function isPaddingBehind(code: CodeMap, start: number, gap: number, next: number): boolean {
  if (gap - start > LONGEST_RUN || next - gap > 4 * LONGEST_INSTRUCTION) return false;
  let at = start;
  let ended = false;
  for (const instruction of decode(code.bytesAt(start, next - start), start)) {
    if (instruction.isInvalid) return false;
    if (at >= gap && !isPadding(instruction)) return false;
    if (at < gap) ended = endsRun(instruction) || traps(instruction);
    at += instruction.length;
    if (at > gap && at - instruction.length < gap) return false;
  }
  const bytes = Array.from({ length: next - gap }, (_, n) => gap + n);
  return (
    ended && !bytes.some((address) => code.mayLandAt(address)) && findShortBranch(code, new Set(bytes)) === undefined
  );
}

/** Where the function that begins at `start` ends at the latest. */
function endOf(code: CodeMap, start: number): number {
  const { end = start } = code.functionBefore(start) ?? {};
  return end > start ? end : (code.functionBehind(start)?.start ?? Number.POSITIVE_INFINITY);
}

/** Decodes one instruction after the other; each is valid until the next is asked for. */
export function* decode(bytes: Uint8Array, address: number): Generator<Instruction> {
  const { Decoder, DecoderOptions, Instruction } = iced();
  const decoder: Decoder = new Decoder(64, bytes, DecoderOptions.None);
  decoder.ip = BigInt(address);
  const instruction = new Instruction();
  try {
    while (decoder.canDecode) {
      decoder.decodeOut(instruction);
      yield instruction;
    }
  } finally {
    instruction.free();
    decoder.free();
  }
}

/** Why an instruction of the window must stay where it is, or undefined. */
function whyImmovable(instruction: Instruction, isLast: boolean): string | undefined {
  const { FlowControl, Code, OpKind, Register } = iced();
  const { flowControl, code } = instruction;
  if (code === Code.Int3) return 'the first bytes hold a breakpoint (int3) of another tool';
  if (flowControl === FlowControl.XbeginXabortXend) return 'a transaction begins there';
  if (traps(instruction)) return 'it traps on purpose';
  const callsThrough = flowControl === FlowControl.IndirectCall;
  // What a call in the middle returns to would lie inside the jump.
  if ((flowControl === FlowControl.Call || callsThrough) && !isLast) {
    return 'a short call there returns into the bytes that the jump would replace';
  }
  if (!callsThrough || instruction.op0Kind === OpKind.Register) {
    const usesStackPointer = callsThrough && instruction.op0Register === Register.RSP;
    return usesStackPointer ? 'it calls the stack' : undefined;
  }
  // The return address is on the stack before the callee is looked up, and must not lie over its address.
  const fromStack = instruction.memoryBase === Register.RSP;
  if (code !== Code.Call_rm64 || (fromStack && instruction.memoryDisplacementU64 >> 31n !== 0n)) {
    return 'a call of this kind cannot be given its return address';
  }
  return undefined;
}

/** int3, ud2 and their kin. */
function traps({ flowControl }: Instruction): boolean {
  const { FlowControl } = iced();
  return flowControl === FlowControl.Interrupt || flowControl === FlowControl.Exception;
}

function isPadding({ mnemonic }: Instruction): boolean {
  const { Mnemonic } = iced();
  return mnemonic === Mnemonic.Nop || mnemonic === Mnemonic.Int3;
}
