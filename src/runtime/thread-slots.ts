/**
 * Lends each run of a program a slot of the per-CPU maps (maps/slots.ts), as a rule without a locked instruction.
 *
 * A thread finds its row by its thread pointer and keeps it. A row that is taken, because a signal handler interrupted a run of
 * this thread or because there are more threads than rows, is passed over for one that anybody may borrow:
 *
 *     | slots given out u64, pad to 4096 | row 0 | ... | row 127 | borrowed row 0 | ... | borrowed row 63 |  a page each
 *     row:  | state | number of its slot + 1, or 0 |
 *     state of a row:           0: nobody's; owner: its thread is not in a program; owner + 1: it is
 *     state of a borrowed row:  0: free; 1: in use
 *
 * The owner is the thread pointer with the process number in its upper 16 bits. Only its own thread, and handlers on that, write to
 * a row that has an owner: a handler that comes between reading and writing leaves the state as it was. A run that never ends
 * (a handler jumps out of it, the process is killed) keeps its row: later runs borrow. Without any row to borrow, a run is missed.
 */
import { viewOf } from '../bytes/struct.ts';
import { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { SLOTS } from '../maps/slots.ts';
import { emitProcessNumber } from './process-number.ts';

const PAGE = 4096;
const OWNED = 128;
const BORROWED = SLOTS - OWNED;
const ROW_MASK = (OWNED - 1) * PAGE;
/** Rows looked at before a thread gives up finding one to own. */
const PROBES = 8;
const Row = { state: 0, slot: 8 } as const;

/** Bytes of shared memory; a multiple of 4096. */
export const THREAD_SLOTS_SIZE = PAGE + SLOTS * PAGE;

/** Where the rows lie in the target. */
export interface ThreadSlotsPlace {
  /** Address of the shared memory laid out above: a multiple of 4096. */
  readonly address: bigint;
  /** Address of a u64 that counts the processes. */
  readonly processCounter: bigint;
  /** Address of a u64 that is private to the process and wiped on fork. */
  readonly processCell: bigint;
  /** False where fs:0 does not tell threads apart; then every run borrows. */
  readonly threadPointers: boolean;
}

/** A slot in the hands of one run. */
export interface LentSlot {
  readonly number: Value;
  /** Gives it back; at the run's end, whichever way it took. */
  release(b: Builder): void;
}

/** How many slots were given out: those above hold nothing. Bounded, whatever the target wrote. */
export function slotsInUse(memory: Uint8Array): number {
  const count = viewOf(memory).getBigUint64(0, true);
  return count > BigInt(SLOTS) ? SLOTS : Number(count);
}

/**
 * Emits the taking of a slot.
 *
 * @param missedCell address of a u64 that counts runs for which there was none: the program then ends
 */
export function emitTakeSlot(b: Builder, place: ThreadSlotsPlace, missedCell: bigint): LentSlot {
  const row = place.threadPointers ? takeRow(b, place) : b.call(borrowRow(place), []);
  b.when(
    b.compare('eq', row, 0),
    () => {
      b.atomic('add', 8, b.const(missedCell), 0, 1);
      b.return(0);
    },
    'cold',
  );
  return {
    number: b.sub(b.load(8, row, Row.slot), 1),
    // Both kinds of row are free when the lowest bit is gone.
    release: (end) => end.store(8, row, Row.state, end.sub(end.load(8, row, Row.state), 1)),
  };
}

/** The address of a row that is ours now, or 0. */
function takeRow(b: Builder, place: ThreadSlotsPlace): Value {
  const pointer = b.threadPointer();
  const owner = b.add(pointer, b.load(8, b.const(place.processCell)));
  const home = b.add(b.and(pointer, ROW_MASK), b.const(rowsOf(place)));
  const [mine, slow, after] = [b.newBlock(), b.newBlock('cold'), b.newBlock()];
  b.branch(b.compare('eq', b.load(8, home, Row.state), owner), mine, slow);
  b.at(mine);
  b.store(8, home, Row.state, b.add(owner, 1));
  b.jump(after);
  b.at(slow);
  const found = b.call(findRow(place), []);
  b.jump(after);
  b.at(after);
  const row = b.phi();
  row.args.push(home, found);
  return row;
}

const rowsOf = ({ address }: ThreadSlotsPlace): bigint => address + BigInt(PAGE);

/** () -> the address of a row that is ours now: one that this thread owns, or a borrowed one; 0 if there is none. */
function findRow(place: ThreadSlotsPlace): IrFunction {
  return Builder.function('slot:find', 0, (b) => {
    const borrowed = borrowRow(place);
    const borrow = (): void => b.return(b.call(borrowed, []));
    const process = emitProcessNumber(b, place.processCounter, place.processCell, borrow);
    const pointer = b.threadPointer();
    const owner = b.add(pointer, process);
    const busy = b.add(owner, 1);
    b.loop([b.and(pointer, ROW_MASK), b.const(PROBES)], 0, (loop, [at, left]) => {
      const row = b.add(at!, b.const(rowsOf(place)));
      const state = b.load(8, row, Row.state);
      b.when(b.compare('eq', state, owner), () => {
        b.store(8, row, Row.state, busy);
        b.return(row);
      });
      // A handler of ours, in the middle of a run: what it interrupted has the row.
      b.when(b.compare('eq', state, busy), () => loop.leave());
      b.when(b.compare('eq', state, 0), () => {
        b.when(b.compare('eq', b.cmpxchg(8, row, Row.state, 0, busy), 0), () => {
          numberRow(b, place, row);
          b.return(row);
        });
      });
      const rest = b.sub(left!, 1);
      b.when(b.compare('eq', rest, 0), () => loop.leave());
      loop.next(b.and(b.add(at!, PAGE), ROW_MASK), rest);
    });
    borrow();
  });
}

/** () -> the address of a row that was free, or 0 */
function borrowRow(place: ThreadSlotsPlace): IrFunction {
  return Builder.function('slot:borrow', 0, (b) => {
    const first = rowsOf(place) + BigInt(OWNED * PAGE);
    b.loop([b.const(0)], 0, (loop, [at]) => {
      const row = b.add(at!, b.const(first));
      b.when(b.compare('eq', b.load(8, row, Row.state), 0), () => {
        b.when(b.compare('eq', b.cmpxchg(8, row, Row.state, 0, 1), 0), () => {
          numberRow(b, place, row);
          b.return(row);
        });
      });
      const next = b.add(at!, PAGE);
      b.when(b.compare('eq', next, BORROWED * PAGE), () => b.return(0));
      loop.next(next);
    });
    b.return(0);
  });
}

/** Gives a row that is ours a slot, if it has none yet. */
function numberRow(b: Builder, { address }: ThreadSlotsPlace, row: Value): void {
  b.when(b.compare('eq', b.load(8, row, Row.slot), 0), () => {
    b.store(8, row, Row.slot, b.add(b.atomic('add', 8, b.const(address), 0, 1), 1));
  });
}
