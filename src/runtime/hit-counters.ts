/**
 * Counts how often each link's program ran: exactly, and without a locked instruction on the hot path.
 *
 * Every thread has a row of its own, found by its thread pointer, so a plain increment loses nothing:
 *
 *     | overflow: one counter a link, 4096 | row 0: owner, 511 counters, 4096 | row 1 | ... | row 255 |  (a bank)
 *     | next bank, for links 511 to 1021 | ...
 *
 * The owner of a row is the thread pointer with a process number in the upper 16 bits: fork children share this memory
 * and have their parent's thread pointers. The process number is kept in memory that the kernel wipes on fork, so that a
 * child finds 0 there and takes a number of its own. The counter of those numbers is that of all processes which share the
 * memory, or maps. A thread that finds no row within a few steps counts in the
 * overflow, by a locked add. Rows are never given back: a thread that gets a dead one's pointer gets its row.
 */
import { viewOf } from '../bytes/struct.ts';
import { Builder } from '../ir/builder.ts';
import { emitProcessNumber } from './process-number.ts';

const PAGE = 4096;
const ROWS = 256;
const WORD = 8;
/** Counters of one row: the first word is the owner. */
const COUNTERS = PAGE / WORD - 1;
const BANK_SIZE = (1 + ROWS) * PAGE;
/** Bits of the thread pointer that choose the row: stacks, and with them thread pointers, lie pages apart. */
const ROW_MASK = (ROWS - 1) * PAGE;
/** Rows looked at before a thread gives up. */
const PROBES = 8;

/** Where the counters lie in the target. */
export interface HitCounterPlace {
  /** Address of the shared memory laid out above: a multiple of 4096. */
  readonly address: bigint;
  /** Address of a u64 that counts the processes. */
  readonly processCounter: bigint;
  /** Address of a u64 that is private to the process and wiped on fork. */
  readonly processCell: bigint;
  /** False where fs:0 does not tell threads apart; then every hit takes the locked add. */
  readonly threadPointers: boolean;
}

/** Bytes of shared memory that counters for `links` links need: a multiple of 4096. */
export function hitCountersSize(links: number): number {
  return Math.max(1, Math.ceil(links / COUNTERS)) * BANK_SIZE;
}

/** The part of the memory that counts link `index`, in bytes from its beginning. */
export function bankOf(index: number): { readonly offset: number; readonly size: number } {
  return { offset: place(index).bank, size: BANK_SIZE };
}

/** How often link `index` was hit, in all threads and all fork children. */
export function readHits(memory: Uint8Array, index: number): bigint {
  const view = viewOf(memory);
  const { bank, offset } = place(index);
  let hits = 0n;
  for (let page = 0; page <= ROWS; page++) hits += view.getBigUint64(bank + page * PAGE + offset, true);
  return BigInt.asUintN(64, hits);
}

/** Emits one hit of link `index`. */
export function emitHit(
  b: Builder,
  { address, processCounter, processCell, threadPointers }: HitCounterPlace,
  index: number,
): void {
  const { bank, offset } = place(index);
  const overflow = address + BigInt(bank);
  const rows = overflow + BigInt(PAGE);
  if (!threadPointers) {
    b.atomic('add', 8, b.const(overflow), offset, 1);
    return;
  }
  const pointer = b.threadPointer();
  const owner = b.add(pointer, b.load(8, b.const(processCell)));
  const row = b.add(b.and(pointer, ROW_MASK), b.const(rows));
  const mine = b.newBlock();
  const slow = b.newBlock('cold');
  const after = b.newBlock();
  b.branch(b.compare('eq', b.load(8, row), owner), mine, slow);
  b.at(mine);
  b.increment(row, offset);
  b.jump(after);
  b.at(slow);
  const slowHit = Builder.function(`hit:${index}`, 0, (f) =>
    emitSlowHit(f, { processCounter, processCell, overflow, rows, offset }),
  );
  b.call(slowHit, []);
  b.jump(after);
  b.at(after);
}

/** Byte offset of a link's bank, and of its counter in each page of the bank. */
function place(index: number): { readonly bank: number; readonly offset: number } {
  const bank = Math.floor(index / COUNTERS) * BANK_SIZE;
  return { bank, offset: WORD * (1 + (index % COUNTERS)) };
}

interface SlowPlace {
  readonly processCounter: bigint;
  readonly processCell: bigint;
  readonly overflow: bigint;
  readonly rows: bigint;
  readonly offset: number;
}

/** Takes a process number if there is none, then a row; counts there, or in the overflow. */
function emitSlowHit(b: Builder, { processCounter, processCell, overflow, rows, offset }: SlowPlace): void {
  const countInOverflow = (): void => {
    b.atomic('add', 8, b.const(overflow), offset, 1);
    b.return(0);
  };
  const process = emitProcessNumber(b, processCounter, processCell, countInOverflow);
  const pointer = b.threadPointer();
  const owner = b.add(pointer, process);
  b.loop([b.and(pointer, ROW_MASK), b.const(PROBES)], 0, (loop, [at, left]) => {
    const row = b.add(b.const(rows), at!);
    const found = b.load(8, row);
    const taken = b.choose(
      b.compare('eq', found, 0),
      () => {
        const old = b.cmpxchg(8, row, 0, 0, owner);
        return b.select(b.compare('eq', old, 0), owner, old);
      },
      () => found,
    );
    b.when(b.compare('eq', taken, owner), () => {
      b.increment(row, offset);
      b.return(0);
    });
    const rest = b.sub(left!, 1);
    b.when(b.compare('eq', rest, 0), () => loop.leave(), 'cold');
    loop.next(b.and(b.add(at!, PAGE), ROW_MASK), rest);
  });
  countInOverflow();
}
