/**
 * What the stacks of stopped threads tell about code they will come back to: words that point into it, and the contexts
 * that signal handlers interrupted. Conservative: a number that merely looks like an address counts as one.
 */
import { viewOf } from '../bytes/struct.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import { type MemoryRange, SCATTERED_COUNT, SCATTERED_SIZE } from '../sys/scattered-read.ts';
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
 * Those of the threads that are in one of `ranges`, or may come back to one: after a signal handler, or after a function of the
 * vDSO, which is all that our code calls. Only there is it worth asking what the stack holds: old return addresses stay on it
 * long after the call.
 */
export function threadsInside(
  ranges: readonly AddressRange[],
  threads: readonly StoppedThread[],
  mappings: readonly Mapping[],
  memory: ProcessMemory,
): readonly StoppedThread[] {
  const inside: StoppedThread[] = [];
  for (const [thread, stacks] of stacksOfEach(threads, mappings, memory, SCAN_LIMIT)) {
    const places = [thread.rip, ...stacks.flatMap(({ contexts }) => contexts).map(({ rip }) => rip)];
    const isInVdso = places.some((rip) => mappingAt(mappings, rip)?.path === '[vdso]');
    const mayReturn = isInVdso && stacks.some((stack) => pointsInto(ranges, stack.bytes));
    if (mayReturn || places.some((rip) => isInside(ranges, rip))) inside.push(thread);
  }
  return inside;
}

/** What emitted code calls in the midst of its work. */
const CALLS_OF_EMITTED_CODE: ReadonlySet<bigint> = new Set([39n, 186n, 310n]); // getpid, gettid, process_vm_readv

/** Those of the threads that may be at work in `ranges`, or a handler of which interrupted that: not who waits for a call of its own. */
export function threadsAtWork(
  ranges: readonly AddressRange[],
  threads: readonly StoppedThread[],
  mappings: readonly Mapping[],
  memory: ProcessMemory,
): readonly StoppedThread[] {
  if (ranges.length === 0) return [];
  return threadsInside(ranges, threads, mappings, memory).filter((thread) => {
    const { origRax } = thread.registers;
    if (BigInt.asIntN(64, origRax) < 0n || CALLS_OF_EMITTED_CODE.has(origRax)) return true;
    const contexts = [...interruptedContexts([thread], mappings, memory, SCAN_LIMIT)];
    return contexts.some(({ rip }) => isInside(ranges, rip));
  });
}

/** Of the threads, and of what their signal handlers interrupted. */
export function stackPointersOf(
  threads: readonly StoppedThread[],
  mappings: readonly Mapping[],
  memory: ProcessMemory,
): readonly bigint[] {
  const contexts = [...interruptedContexts(threads, mappings, memory, SCAN_LIMIT)];
  return [...threads, ...contexts].map(({ rsp }) => rsp);
}

/** The contexts that signal handlers of the threads interrupted, in the topmost `limit` bytes of their stacks. */
export function* interruptedContexts(
  threads: readonly StoppedThread[],
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): Generator<InterruptedContext> {
  for (const [, stacks] of stacksOfEach(threads, mappings, memory, limit))
    for (const { contexts } of stacks) yield* contexts;
}

interface Stack {
  readonly start: bigint;
  readonly bytes: Uint8Array;
  /** Of the threads that it belongs to. */
  readonly contexts: readonly InterruptedContext[];
}

const NO_CONTEXTS: readonly InterruptedContext[] = [];

/**
 * The stack each thread runs on and, where that is an alternate one for signals, those it left for it. Those that threads run on are
 * read many at a time.
 */
function* stacksOfEach(
  threads: readonly StoppedThread[],
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): Generator<readonly [StoppedThread, readonly Stack[]]> {
  const ranges = threads.map(({ rsp }) => stackRange(rsp, mappings, limit));
  for (let from = 0; from < threads.length; ) {
    let to = from;
    for (let size = 0; to < threads.length; to++) {
      size += ranges[to]?.size ?? 0;
      if (to > from && (size > SCATTERED_SIZE || to - from === SCATTERED_COUNT)) break;
    }
    const wanted = ranges.slice(from, to).filter((range) => range !== undefined);
    const found = memory.readEach(wanted);
    const isQuiet = !mayHoldContexts(found);
    for (const next = found.values(); from < to; from++) {
      const range = ranges[from];
      const bytes = range && next.next().value!;
      if (bytes === undefined) yield [threads[from]!, []];
      else if (isQuiet) yield [threads[from]!, [{ start: range!.address, bytes, contexts: NO_CONTEXTS }]];
      else yield [threads[from]!, withInterrupted(stackOf(range!.address, bytes), mappings, memory, limit)];
    }
  }
}

/** A stack, and those that the contexts on it lead to. */
function withInterrupted(
  top: Stack,
  mappings: readonly Mapping[],
  memory: ProcessMemory,
  limit: number,
): readonly Stack[] {
  const stacks = [top];
  for (const { contexts } of stacks) {
    for (const { rsp } of contexts) {
      if (stacks.some(({ start, bytes }) => rsp >= start && rsp < start + BigInt(bytes.length))) continue;
      const range = stackRange(rsp, mappings, limit);
      if (range !== undefined) stacks.push(stackOf(range.address, memory.readUpTo(range.address, range.size)));
    }
  }
  return stacks;
}

function stackRange(pointer: bigint, mappings: readonly Mapping[], limit: number): MemoryRange | undefined {
  const mapping = mappingAt(mappings, pointer);
  if (mapping === undefined || mapping.permissions[0] !== 'r') return undefined;
  const below = (pointer & ~7n) - RED_ZONE;
  const address = below < mapping.start ? mapping.start : below;
  return { address, size: Math.min(limit, Number(mapping.end - address)) };
}

/** The word of segment selectors, as bytes. */
const SEGMENTS = Buffer.from(Int32Array.of(SEGMENTS_LOW, SEGMENTS_HIGH).buffer);

/** False if none of the stacks holds a context: of those that were read in one go this is told in one go. */
function mayHoldContexts(stacks: readonly Uint8Array[]): boolean {
  const [first, last] = [stacks[0], stacks.at(-1)];
  if (first === undefined || last === undefined || first.buffer !== last.buffer) return true;
  const size = last.byteOffset + last.length - first.byteOffset;
  return Buffer.from(first.buffer, first.byteOffset, size).includes(SEGMENTS);
}

function stackOf(start: bigint, bytes: Uint8Array): Stack {
  return { start, bytes, contexts: contextsOn(start, bytes) };
}

function contextsOn(start: bigint, bytes: Uint8Array): readonly InterruptedContext[] {
  const contexts: InterruptedContext[] = [];
  const view = viewOf(bytes);
  // Words of half the size, in a plain array: this is done for every thread while all of them stand still.
  const halves = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  for (let n = 6; n + 2 <= halves.length; n += 2) {
    if (halves[n] !== SEGMENTS_LOW || halves[n + 1] !== SEGMENTS_HIGH) continue;
    if ((halves[n - 2]! & FLAGS_ALWAYS_SET) === 0 || halves[n - 1] !== 0) continue;
    const at = n * 4;
    contexts.push({
      rip: view.getBigUint64(at - 16, true),
      ripAddress: start + BigInt(at - 16),
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
