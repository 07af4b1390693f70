/**
 * Changing code that threads may be running: all of them stopped, none left in the middle of what changes, all or nothing.
 * Written through /proc/PID/mem. Where we are killed half-way some sites are changed and the others not, each of them whole.
 */
import { toHex } from '../bytes/hex.ts';
import { isSameOrigin, originAt } from '../process/code-origin.ts';
import { resumePoint } from '../process/resume-point.ts';
import { interruptedContexts } from '../process/stack-scan.ts';
import type { StoppedThread } from '../process/stopped-thread.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { readStatus } from '../sys/proc.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import { InjectError } from './errors.ts';
import type { PatchedPlace } from './site-patch.ts';

/** How deep stacks are searched for interrupted contexts, in bytes: more than a signal handler has in use. */
const CONTEXT_LIMIT = 1024 * 1024;

/**
 * The same where only the C library has handlers: that of setuid(2), which has all threads make the call, calls nothing that needs
 * much; that of cancellation returns at once, or never. Source: nptl/nptl_setxid.c and pthread_cancel.c of glibc.
 */
const LIBRARY_CONTEXT_LIMIT = 2048;

/** Signals 32 and 33, which glibc keeps for itself. */
const SIGNALS_OF_GLIBC = 0x1_8000_0000n;

/** A thread in a system call stands behind the instruction that made it. */
const SYSCALL_SIZE = 2n;

/** Bytes of the longest patch of a site. */
export const LONGEST_PATCH = 16;

/** New bytes for one place. */
export interface Patch extends PatchedPlace {
  /** What must stand there now. */
  readonly expected: Uint8Array;
  /** As long as `expected`. */
  readonly replacement: Uint8Array;
  /** The replacement is what stood there before us. */
  readonly isUndo?: boolean;
}

/** How a change went. */
export interface PatchReport {
  /** How long the target stood still, in microseconds. */
  readonly pauseUs: number;
  readonly threads: number;
  /** Threads and interrupted contexts that were inside and go on elsewhere. */
  readonly moved: number;
}

/**
 * Applies patches in one stop.
 *
 * @throws {InjectError} INJECT_SITE_CHANGED, INJECT_SITE_UNLOADED, INJECT_SITE_BUSY, INJECT_WRITE_FAILED; no byte is changed then
 * @throws {ProcessError} as `stopThreads` does
 */
export function applyPatches(process: TargetProcess, patches: readonly Patch[]): PatchReport {
  if (patches.length === 0) return { pauseUs: 0, threads: 0, moved: 0 };
  // Read before the stop: with thousands of mappings it takes longer than the stop itself.
  const contextLimit = contextLimitOf(process);
  const mappings = contextLimit > 0 ? process.mappings() : [];
  const sorted = patches.toSorted((a, b) => (a.address < b.address ? -1 : 1));
  const runs = runsOf(patches, sorted);
  const held = process.stopThreads();
  let moved: number;
  let threads: number;
  try {
    const stopped = held.threads;
    threads = stopped.length;
    requireOrigins(process, patches);
    const spans = runs.map((run) => readSpan(process, run));
    const isKnown = contextLimit === 0 || stopped.every(({ rsp }) => mappingAt(mappings, rsp) !== undefined);
    const stacks = { mappings: isKnown ? mappings : process.mappings(), limit: contextLimit };
    moved = moveThreads(process, stopped, sorted, stacks);
    writeAll(process, spans);
  } finally {
    held[Symbol.dispose]();
  }
  return { pauseUs: held.pauseMicroseconds, threads, moved };
}

/** Bytes that are read and written at once: every page of them holds a patch. */
interface Span {
  readonly address: bigint;
  readonly before: Uint8Array;
  readonly after: Uint8Array;
}

const PAGE = 4096n;

/**
 * Runs of patches that follow one another in memory too, with no page between them that none of them touches. Others may
 * lie over them, but not between them.
 */
function runsOf(patches: readonly Patch[], sorted: readonly Patch[]): readonly (readonly Patch[])[] {
  const follows = new Map<Patch, Patch>();
  let end = 0n;
  sorted.forEach((patch, n) => {
    const isNear = patch.address >= end && patch.address / PAGE - (end - 1n) / PAGE <= 1n;
    const last = sorted[n - 1];
    if (last !== undefined && isNear && endOf(last) === end) follows.set(patch, last);
    if (endOf(patch) > end) end = endOf(patch);
  });
  const runs: Patch[][] = [];
  for (const patch of patches) {
    const run = runs.at(-1);
    if (run !== undefined && follows.get(patch) === run.at(-1)) run.push(patch);
    else runs.push([patch]);
  }
  return runs;
}

function endOf({ address, expected }: Patch): bigint {
  return address + BigInt(expected.length);
}

function readSpan({ memory }: TargetProcess, patches: readonly Patch[]): Span {
  const { address } = patches[0]!;
  const last = patches.at(-1)!;
  const before = memory.read(address, Number(last.address - address) + last.expected.length);
  const span = { address, before, after: before.slice() };
  for (const patch of patches) {
    const offset = Number(patch.address - address);
    requireExpected(span, patch, offset);
    span.after.set(patch.replacement, offset);
  }
  return span;
}

/** Other code may look the same: who was unloaded is told by the file alone. What is ours is told by its bytes. */
function requireOrigins(process: TargetProcess, patches: readonly Patch[]): void {
  const bound = patches.filter(({ origin, isUndo }) => origin !== undefined && !isUndo);
  if (bound.length === 0) return;
  const mappings = process.mappings();
  const gone = bound.find(({ address, origin }) => !isSameOrigin(origin, originAt(mappings, address)));
  if (gone === undefined) return;
  throw new InjectError(
    'INJECT_SITE_UNLOADED',
    `cannot change code at 0x${gone.address.toString(16)}: the library that it belongs to was unloaded`,
  );
}

function requireExpected({ before }: Span, { address, expected, replacement, isUndo }: Patch, offset: number): void {
  const found = before.subarray(offset, offset + expected.length);
  if (Buffer.compare(found, expected) === 0 || (isUndo && isRemains(found, expected, replacement))) return;
  throw new InjectError(
    'INJECT_SITE_CHANGED',
    `cannot change code at 0x${address.toString(16)}: found ${toHex(found)}, expected ${toHex(expected)}`,
    { why: 'another tool has patched it, or the library was unloaded' },
  );
}

/**
 * True if every byte of `found` is ours or the original one: another tool's probe was laid over our jump, and its end has put
 * the file's bytes back, as the kernel's uprobes do. Nothing can be done with that but to put back the rest.
 */
export function isRemains(found: Uint8Array, ours: Uint8Array, original: Uint8Array): boolean {
  return found.every((byte, index) => byte === ours[index] || byte === original[index]);
}

/** Before any byte is written: a thread in a trampoline is right either way, one in the middle of a jump is lost. */
function moveThreads(
  process: TargetProcess,
  threads: readonly StoppedThread[],
  sorted: readonly Patch[],
  { mappings, limit }: { readonly mappings: readonly Mapping[]; readonly limit: number },
): number {
  let moved = 0;
  const leaving = new Map(sorted.flatMap((patch) => [...(patch.leaving ?? [])]));
  const [first, end] = [sorted[0]!.address, endOf(sorted.at(-1)!) + BigInt(LONGEST_PATCH)];
  for (const thread of threads) {
    const { rip } = thread;
    // Of hundreds of threads hardly one is near: the others need no second look.
    const isNear =
      (rip >= first && rip < end) || (leaving.size > 0 && (leaving.has(rip - SYSCALL_SIZE) || leaving.has(rip)));
    if (isNear && moveThread(thread, sorted, leaving)) moved++;
  }
  if (limit === 0) return moved;
  for (const { rip, ripAddress } of interruptedContexts(threads, mappings, process.memory, limit)) {
    const back = leaving.get(rip) ?? destination(rip, sorted);
    if (back === undefined) continue;
    process.memory.write(ripAddress, new Uint8Array(BigUint64Array.of(back).buffer));
    moved++;
  }
  return moved;
}

/** A thread in a system call goes back to make it again, so that is where it is. */
function moveThread(thread: StoppedThread, sorted: readonly Patch[], leaving: ReadonlyMap<bigint, bigint>): boolean {
  const point = resumePoint(thread.registers);
  const rip = leaving.get(point.rip) ?? destination(point.rip, sorted);
  if (rip === undefined) return false;
  thread.registers = { ...point, rip };
  return true;
}

/**
 * Where an instruction pointer inside a patch goes; undefined if it is in none. Its first byte is not inside.
 *
 * @param patches in ascending order of address
 */
function destination(rip: bigint, patches: readonly Patch[]): bigint | undefined {
  let [low, high] = [0, patches.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (patches[middle]!.address < rip) low = middle + 1;
    else high = middle;
  }
  let around: Patch | undefined;
  for (let n = low - 1; n >= 0 && rip - patches[n]!.address < LONGEST_PATCH; n--) {
    const patch = patches[n]!;
    if (rip >= endOf(patch)) continue;
    const to = patch.moves.get(rip);
    if (to !== undefined) return to;
    around = patch;
  }
  if (around === undefined) return undefined;
  throw new InjectError(
    'INJECT_SITE_BUSY',
    `cannot change code at 0x${around.address.toString(16)}: a thread is at 0x${rip.toString(16)}, inside it`,
    { fix: 'try again' },
  );
}

/** In the order of the patches, so that a chain can be built from its end. */
function writeAll({ memory }: TargetProcess, spans: readonly Span[]): void {
  const written: Span[] = [];
  try {
    for (const span of spans) {
      written.push(span);
      memory.write(span.address, span.after);
      const found = memory.read(span.address, span.after.length);
      if (Buffer.compare(found, span.after) === 0) continue;
      const at = found.findIndex((byte, index) => byte !== span.after[index]);
      const [wanted, got] = [span.after, found].map((bytes) => toHex(bytes.subarray(at, at + SHOWN)));
      throw new InjectError(
        'INJECT_WRITE_FAILED',
        `cannot change code at 0x${(span.address + BigInt(at)).toString(16)}: wrote ${wanted}, read ${got}`,
      );
    }
  } catch (error) {
    for (const { address, before } of written) memory.write(address, before);
    throw error;
  }
}

/** How many bytes a message shows. */
const SHOWN = 8;

/** How deep to look for what handlers interrupted: without one no thread can be inside it. Of a thread that has ended none are told. */
function contextLimitOf({ procId, facts }: TargetProcess): number {
  const { caughtSignals } = readStatus(procId);
  if (caughtSignals === 0n) return 0;
  const isLibrarys = facts.libc === 'glibc' && (caughtSignals & ~SIGNALS_OF_GLIBC) === 0n;
  return isLibrarys ? LIBRARY_CONTEXT_LIMIT : CONTEXT_LIMIT;
}
