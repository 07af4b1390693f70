/**
 * What the stacks of stopped threads tell about code they will come back to: words that point into it, and the contexts
 * that signal handlers interrupted. Conservative: a number that merely looks like an address counts as one.
 */
import { viewOf } from '../bytes/struct.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import type { StoppedThread } from './stopped-thread.ts';

/** From `start` up to, not including, `end`. */
export interface AddressRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** Where a thread goes on when a signal handler of it returns. */
export interface InterruptedContext {
  readonly rip: bigint;
  /** Where that address is kept: on the handler's stack. */
  readonly ripAddress: bigint;
  readonly rsp: bigint;
}

/** The x86-64 ABI lets functions use this much below the stack pointer. */
const RED_ZONE = 128n;

/** How much of a stack is read to tell whether code is in use, in bytes from its top. */
const SCAN_LIMIT = 256 * 1024;

/**
 * struct sigcontext ends its registers with rsp, rip, eflags and a word of segment selectors: cs 0x33, gs 0, fs 0, ss 0x2b.
 * No other word looks like that one. Source: arch/x86/include/uapi/asm/sigcontext.h.
 */
const SEGMENTS_LOW = 0x33;
const SEGMENTS_HIGH = 0x2b_0000;
const FLAGS_ALWAYS_SET = 2;

export function isInside(ranges: readonly AddressRange[], address: bigint): boolean {
  return ranges.some((range) => address >= range.start && address < range.end);
}

/**
 * Whether the thread is in one of `ranges`, or may come back to one: after a signal handler, or after a function of the vDSO,
 * which is all that our code calls. Only there is it worth asking what the stack holds: old return addresses stay on it
 * long after the call.
 */
export function mayReturnInto(
  ranges: readonly AddressRange[],
  thread: StoppedThread,
  mappings: readonly Mapping[],
  memory: ProcessMemory,
): boolean {
  const stacks = stacksOf(thread, mappings, memory, SCAN_LIMIT);
  const places = [thread.rip, ...stacks.flatMap(contextsOn).map(({ rip }) => rip)];
  if (places.some((rip) => isInside(ranges, rip))) return true;
  const isInVdso = places.some((rip) => mappingAt(mappings, rip)?.path === '[vdso]');
  return isInVdso && stacks.some((stack) => pointsInto(ranges, stack.bytes));
}

/** The contexts the thread's signal handlers interrupted, innermost first, in the topmost `limit` bytes of its stacks. */
export function interruptedContexts(
  thread: StoppedThread,
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): readonly InterruptedContext[] {
  return stacksOf(thread, mappings, memory, limit).flatMap(contextsOn);
}

interface Stack {
  readonly start: bigint;
  readonly bytes: Uint8Array;
}

/** The stack the thread runs on and, where that is an alternate one for signals, those it left for it. */
function stacksOf(
  thread: StoppedThread,
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): readonly Stack[] {
  const stacks: Stack[] = [];
  const pointers = [thread.rsp];
  for (const pointer of pointers) {
    const isRead = stacks.some(({ start, bytes }) => pointer >= start && pointer < start + BigInt(bytes.length));
    const stack = isRead ? undefined : readStack(pointer, mappings, memory, limit);
    if (stack === undefined) continue;
    stacks.push(stack);
    pointers.push(...contextsOn(stack).map((context) => context.rsp));
  }
  return stacks;
}

function readStack(
  pointer: bigint,
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): Stack | undefined {
  const mapping = mappingAt(mappings, pointer);
  if (mapping === undefined || mapping.permissions[0] !== 'r') return undefined;
  const below = (pointer & ~7n) - RED_ZONE;
  const start = below < mapping.start ? mapping.start : below;
  const size = Math.min(limit, Number(mapping.end - start));
  return { start, bytes: memory.readUpTo(start, size) };
}

function contextsOn(stack: Stack): readonly InterruptedContext[] {
  const contexts: InterruptedContext[] = [];
  const view = viewOf(stack.bytes);
  // Words of half the size, in a plain array: this is done for every thread while all of them stand still.
  const halves = new Int32Array(stack.bytes.buffer, stack.bytes.byteOffset, stack.bytes.length >> 2);
  for (let n = 6; n + 2 <= halves.length; n += 2) {
    if (halves[n] !== SEGMENTS_LOW || halves[n + 1] !== SEGMENTS_HIGH) continue;
    if ((halves[n - 2]! & FLAGS_ALWAYS_SET) === 0 || halves[n - 1] !== 0) continue;
    const at = n * 4;
    contexts.push({
      rip: view.getBigUint64(at - 16, true),
      ripAddress: stack.start + BigInt(at - 16),
      rsp: view.getBigUint64(at - 24, true),
    });
  }
  return contexts;
}

/** Halves are compared first: a quarter of a megabyte of big integers takes too long while threads stand still. */
function pointsInto(ranges: readonly AddressRange[], bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  const halves = ranges.map(({ start, end }) => [Number(start >> 32n), Number((end - 1n) >> 32n)] as const);
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const high = view.getUint32(at + 4, true);
    if (!halves.some(([low, top]) => high >= low && high <= top)) continue;
    if (isInside(ranges, view.getBigUint64(at, true))) return true;
  }
  return false;
}
