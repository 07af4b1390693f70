/**
 * Changing code that threads may be running: all of them stopped, none left in the middle of what changes, all or nothing.
 * Written through /proc/PID/mem. Where we are killed half-way some sites are changed and the others not, each of them whole.
 */
import { toHex } from '../bytes/hex.ts';
import { resumePoint } from '../process/resume-point.ts';
import { interruptedContexts } from '../process/stack-scan.ts';
import type { StoppedThread } from '../process/stopped-thread.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { readStatus } from '../sys/proc.ts';
import { type Mapping, mappingAt } from '../sys/proc-maps.ts';
import { InjectError } from './errors.ts';

/** How deep stacks are searched for interrupted contexts, in bytes: the time is paid while threads stand still. */
const CONTEXT_LIMIT = 32 * 1024;

/** New bytes for one place. */
export interface Patch {
  readonly address: bigint;
  /** What must stand there now. */
  readonly expected: Uint8Array;
  /** As long as `expected`. */
  readonly replacement: Uint8Array;
  /** Instructions that begin inside the bytes: where threads that are about to run them go on instead. */
  readonly moves: ReadonlyMap<bigint, bigint>;
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
 * @throws {InjectError} INJECT_SITE_CHANGED, INJECT_SITE_BUSY, INJECT_WRITE_FAILED; no byte is changed then
 * @throws {ProcessError} as `stopThreads` does
 */
export function applyPatches(process: TargetProcess, patches: readonly Patch[]): PatchReport {
  if (patches.length === 0) return { pauseUs: 0, threads: 0, moved: 0 };
  // Read before the stop: with thousands of mappings it takes longer than the stop itself.
  const mappings = catchesSignals(process.pid) ? process.mappings() : [];
  const held = process.stopThreads();
  let moved: number;
  let threads: number;
  try {
    threads = held.threads.length;
    for (const patch of patches) requireExpected(process, patch);
    const isKnown = held.threads.every(({ registers }) => mappingAt(mappings, registers.rsp) !== undefined);
    moved = moveThreads(
      process,
      held.threads,
      patches,
      isKnown || mappings.length === 0 ? mappings : process.mappings(),
    );
    writeAll(process, patches);
  } finally {
    held[Symbol.dispose]();
  }
  return { pauseUs: held.pauseMicroseconds, threads, moved };
}

function requireExpected({ memory }: TargetProcess, { address, expected }: Patch): void {
  const found = memory.read(address, expected.length);
  if (Buffer.compare(found, expected) === 0) return;
  throw new InjectError(
    'INJECT_SITE_CHANGED',
    `cannot change code at 0x${address.toString(16)}: found ${toHex(found)}, expected ${toHex(expected)}`,
    { why: 'another tool has patched it, or the library was unloaded' },
  );
}

/** Before any byte is written: a thread in a trampoline is right either way, one in the middle of a jump is lost. */
function moveThreads(
  process: TargetProcess,
  threads: readonly StoppedThread[],
  patches: readonly Patch[],
  mappings: readonly Mapping[],
): number {
  let moved = 0;
  for (const thread of threads) {
    // A thread in a system call goes back to make it again, so that is where it is.
    const point = resumePoint(thread.registers);
    const rip = destination(point.rip, patches);
    if (rip !== undefined) {
      thread.registers = { ...point, rip };
      moved++;
    }
    for (const context of interruptedContexts(thread, mappings, process.memory, CONTEXT_LIMIT)) {
      const back = destination(context.rip, patches);
      if (back === undefined) continue;
      process.memory.write(context.ripAddress, new Uint8Array(BigUint64Array.of(back).buffer));
      moved++;
    }
  }
  return moved;
}

/** Where an instruction pointer inside a patch goes; undefined if it is in none. Its first byte is not inside. */
function destination(rip: bigint, patches: readonly Patch[]): bigint | undefined {
  const patch = patches.find((p) => rip > p.address && rip < p.address + BigInt(p.expected.length));
  if (patch === undefined) return undefined;
  const to = patch.moves.get(rip);
  if (to !== undefined) return to;
  throw new InjectError(
    'INJECT_SITE_BUSY',
    `cannot change code at 0x${patch.address.toString(16)}: a thread is at 0x${rip.toString(16)}, inside it`,
    { fix: 'try again' },
  );
}

function writeAll({ memory }: TargetProcess, patches: readonly Patch[]): void {
  const written: Patch[] = [];
  try {
    for (const patch of patches) {
      written.push(patch);
      memory.write(patch.address, patch.replacement);
      const found = memory.read(patch.address, patch.replacement.length);
      if (Buffer.compare(found, patch.replacement) !== 0) {
        throw new InjectError(
          'INJECT_WRITE_FAILED',
          `cannot change code at 0x${patch.address.toString(16)}: wrote ${toHex(patch.replacement)}, read ${toHex(found)}`,
        );
      }
    }
  } catch (error) {
    for (const { address, expected } of written) memory.write(address, expected);
    throw error;
  }
}

/** Without a handler no thread can be inside one. */
function catchesSignals(pid: number): boolean {
  return readStatus(pid).caughtSignals !== 0n;
}
