/**
 * The return stack as emitted code keeps it: the return addresses of probed functions that have not returned yet, a row for
 * each thread, in memory private to the process (a forked child inherits it and returns just as well).
 *
 *     | rows in use u64 | their addresses u64[ROWS] | notes u64[1 + 2 * ROWS] | hooks ... | row 0, a page | row 1 | ... |
 *     row:    | owner: fs:0 | top: the first free entry | entry 0 | entry 1 | ...
 *     entry:  | return address | slot: where on the stack it belongs | hook |
 *     hook:   | what stands in the slot meanwhile | number of cells | addresses of cells that count missed returns ... |
 *
 * A signal handler may call probed functions at any instruction. So an entry is taken first and filled then, its slot last; and
 * it is given back after the return address stands in its slot again. A slot of 0 is an entry just being filled, or never
 * used; HOLE is one given back while others lay above it. Of two entries with one slot the higher is the newer: the lower was
 * left behind by a longjmp, or is that of a function whose last act was a jump to the other.
 *
 * Rows of threads that ended are taken by others (return-rows.ts); the notes are about that.
 */

import { Syscall } from '../../helpers/linux.ts';
import { Builder } from '../../ir/builder.ts';
import { optimize } from '../../ir/passes/optimize.ts';
import type { IrFunction, Value } from '../../ir/value.ts';

const PAGE_SHIFT = 12;
export const PAGE = 1 << PAGE_SHIFT;
/** Threads that may be inside probed functions at a time; one more misses returns. */
export const ROWS = 1024;
export const ROW_MASK = (ROWS - 1) * PAGE;
/** Rows looked at before a thread gives up. */
export const PROBES = 16;

export const Row = { owner: 0, top: 8, entries: 16 } as const;
export const Entry = { returnAddress: 0, slot: 8, hook: 16, size: 24 } as const;
export const Hook = { label: 0, count: 8, cells: 16 } as const;
/** What is added to the owner of a row that is being taken, or could not be: see return-rows.ts. */
export const Mark = { left: 1, taking: 2 } as const;
/** The slot of an entry that was given back out of order. */
export const HOLE = 1;
/** Entries end where the page does, so that a row is full when `top` is a multiple of PAGE. */
export const LAST_ENTRY = PAGE - Entry.size;

/** Bytes of the notes. */
export const NOTES_SIZE = 8 * (1 + 2 * ROWS);

/** Where the rows lie, and what is said about them. */
export interface RowsPlace {
  /** Of the count of rows in use, their addresses behind it. */
  readonly index: bigint;
  /** A multiple of PAGE. */
  readonly rows: bigint;
  /** Of the notes: first a word that is not zero once a row was taken. */
  readonly taken: bigint;
}

/** How rows change hands, where that can be: routines in the System V convention. */
export interface RowTaking {
  readonly takeRow: bigint;
  /** Says whether the thread's end can be told; undefined where none can. */
  readonly vouch: bigint | undefined;
}

/** Where it all lies. */
export interface ReturnStackPlace extends Omit<RowsPlace, 'taken'> {
  /** The routines for what is rare, called in the System V convention. */
  readonly slowPush: bigint;
  readonly slowPop: bigint;
}

/**
 * Puts the return address away that rsp points to; the result's low half is 0 if there is no room. For a function's entry. The
 * own address of each copy is that of its hook.
 */
export function pushCode({ rows, slowPush }: ReturnStackPlace): IrFunction {
  return optimized('returnPush', 0, (b) => {
    const slot = b.site({ in: 'stackPointer', offset: 0 });
    const [mine, free, slow, after] = [b.newBlock(), b.newBlock(), b.newBlock('cold'), b.newBlock()];
    const row = homeRow(b, rows);
    b.branch(b.compare('eq', b.load(8, row, Row.owner), b.threadPointer()), mine, slow);
    b.at(mine);
    const top = b.load(8, row, Row.top);
    // So its low half is not zero, and does for the result.
    b.branch(b.compare('test', top, PAGE - 1), free, slow);
    b.at(free);
    b.store(8, row, Row.top, b.add(top, Entry.size));
    fill(b, top, slot, b.site({ in: 'copy' }));
    b.jump(after);
    b.at(slow);
    const pushed = b.callAddress(slowPush, [slot, b.site({ in: 'copy' })]);
    b.jump(after);
    b.at(after);
    const result = b.phi();
    result.args.push(top, pushed);
    b.return(result);
  });
}

/** Puts the return address back to where rsp points. For behind the return of a function. */
export function popCode({ rows, slowPop }: ReturnStackPlace): IrFunction {
  return optimized('returnPop', 0, (b) => {
    const slot = b.site({ in: 'stackPointer', offset: 0 });
    const [mine, found, slow, after] = [b.newBlock(), b.newBlock(), b.newBlock('cold'), b.newBlock()];
    const row = homeRow(b, rows);
    b.branch(b.compare('eq', b.load(8, row, Row.owner), b.threadPointer()), mine, slow);
    b.at(mine);
    // In an empty row this compares the owner, which is no stack slot.
    const top = b.load(8, row, Row.top);
    b.branch(b.compare('eq', b.load(8, top, Entry.slot - Entry.size), slot), found, slow);
    b.at(found);
    b.store(8, slot, 0, b.load(8, top, Entry.returnAddress - Entry.size));
    b.store(8, top, Entry.slot - Entry.size, 0);
    b.store(8, row, Row.top, b.sub(top, Entry.size));
    b.jump(after);
    b.at(slow);
    b.callAddress(slowPop, [slot]);
    b.jump(after);
    b.at(after);
    b.return(0);
  });
}

/** (slot, hook) -> 1 or, if there is no room, 0 and the hook's cells count it. */
export function slowPushCode(place: RowsPlace, taking: RowTaking | undefined): IrFunction {
  return optimized('slowPush', 2, (b, [slot, hook]) => {
    const claimed = findRow(b, place, 'claim', taking?.vouch);
    const row =
      taking === undefined
        ? claimed
        : b.choose(
            b.compare('eq', claimed, 0),
            () => b.callAddress(taking.takeRow, []),
            () => claimed,
          );
    b.when(b.compare('eq', row, 0), () => {
      countMissed(b, hook!);
      b.return(0);
    });
    dropHoles(b, row);
    const top = b.load(8, row, Row.top);
    b.when(b.compare('test', top, PAGE - 1), () => {
      b.store(8, row, Row.top, b.add(top, Entry.size));
      fill(b, top, slot!, hook!);
      b.return(1);
    });
    // An entry for this very slot was left behind: what stands there now is a newer return address. Unless that leads to us:
    // then a probed function has jumped to this one, and both will return from there.
    const stale = findEntry(b, row, slot!);
    b.when(b.compare('ne', stale, 0), () => {
      const label = b.load(8, b.load(8, stale, Entry.hook), Hook.label);
      b.when(b.compare('eq', b.load(8, slot!), label), () => {
        countMissed(b, hook!);
        b.return(0);
      });
    });
    const entry = b.choose(
      b.compare('ne', stale, 0),
      () => stale,
      () => findEntry(b, row, b.const(HOLE)),
    );
    b.when(b.compare('eq', entry, 0), () => {
      countMissed(b, hook!);
      b.return(0);
    });
    b.store(8, entry, Entry.slot, 0);
    fill(b, entry, slot!, hook!);
    b.return(1);
  });
}

/** (slot): writes the return address there. It may be in another thread's row, if stacks wander between threads. */
export function slowPopCode(place: RowsPlace): IrFunction {
  return optimized('slowPop', 1, (b, [slot]) => {
    const release = (entry: Value): void => {
      b.store(8, slot!, 0, b.load(8, entry, Entry.returnAddress));
      b.store(8, entry, Entry.slot, HOLE);
    };
    const own = findRow(b, place, 'find');
    b.when(b.compare('ne', own, 0), () => {
      const entry = findEntry(b, own, slot!);
      b.when(b.compare('ne', entry, 0), () => {
        release(entry);
        dropHoles(b, own);
        b.return(0);
      });
    });
    const index = b.const(place.index);
    b.loop([b.load(8, index)], 0, (loop, [left]) => {
      b.when(b.compare('eq', left!, 0), () => loop.leave());
      const row = b.load(8, b.add(index, b.shl(left!, 3)));
      b.when(b.compare('ne', row, 0), () => {
        const entry = findEntry(b, row, slot!);
        b.when(b.compare('ne', entry, 0), () => {
          release(entry);
          b.return(0);
        });
      });
      loop.next(b.sub(left!, 1));
    });
    // Nobody knows where to return to: better to end here than anywhere.
    b.store(8, b.const(0), 0, slot!);
    b.return(0);
  });
}

/**
 * (): puts back every return address of this thread above the stack pointer, so that an unwinder finds the stack as it would be
 * without us. Those returns are missed, and counted.
 *
 * @param reading how words of foreign stacks are read: `checked` asks the kernel, since a stack that was left may be gone
 */
export function restoreCode(place: RowsPlace, reading: 'checked' | 'direct'): IrFunction {
  return optimized('restoreReturns', 1, (b, [stackPointer]) => {
    const read = reading === 'direct' ? (slot: Value) => b.load(8, slot) : checkedRead(b, stackPointer!);
    const restoreIn = (row: Value) =>
      forEachEntry(b, row, (entry) => {
        const slot = b.load(8, entry, Entry.slot);
        b.when(b.compare('ugt', slot, stackPointer!), () => {
          const hook = b.load(8, entry, Entry.hook);
          b.when(b.compare('eq', read(slot), b.load(8, hook, Hook.label)), () => {
            b.store(8, slot, 0, b.load(8, entry, Entry.returnAddress));
            b.store(8, entry, Entry.slot, HOLE);
            countMissed(b, hook);
          });
        });
      });
    // First what it uses now: what it has left in rows that others wanted to take is older.
    b.loop([b.const(0)], 0, (passes, [mark]) => {
      const owner = b.add(b.threadPointer(), mark!);
      b.loop([b.and(b.threadPointer(), ROW_MASK), b.const(PROBES)], 0, (loop, [at, left]) => {
        const row = b.add(at!, b.const(place.rows));
        b.when(b.compare('eq', b.load(8, row, Row.owner), owner), () => {
          restoreIn(row);
          b.when(b.compare('eq', mark!, 0), () => dropHoles(b, row));
          b.when(b.compare('eq', b.load(8, b.const(place.taken)), 0), () => b.return(0));
        });
        const rest = b.sub(left!, 1);
        b.when(b.compare('eq', rest, 0), () => loop.leave());
        loop.next(b.and(b.add(at!, PAGE), ROW_MASK), rest);
      });
      b.when(b.compare('eq', b.load(8, b.const(place.taken)), 0), () => b.return(0));
      b.when(b.compare('eq', mark!, Mark.taking), () => passes.leave());
      passes.next(b.add(mark!, 1));
    });
    b.return(0);
  });
}

/** Calls the routine `restore` with the site's stack pointer. */
export function callRestore(restore: bigint): IrFunction {
  return optimized('restore', 0, (b) => {
    b.callAddress(restore, [b.site({ in: 'stackPointer', offset: 0 })]);
    b.return(0);
  });
}

function optimized(name: string, params: number, body: (b: Builder, params: Value[]) => void): IrFunction {
  const fn = Builder.function(name, params, body);
  optimize(fn);
  return fn;
}

/** Where this thread's row is, unless another thread came first. */
function homeRow(b: Builder, rows: bigint): Value {
  return b.add(b.and(b.threadPointer(), ROW_MASK), b.const(rows));
}

/** The slot goes in last: until then nobody takes the entry for one in use. */
function fill(b: Builder, entry: Value, slot: Value, hook: Value): void {
  b.store(8, entry, Entry.returnAddress, b.load(8, slot));
  b.store(8, entry, Entry.hook, hook);
  b.store(8, entry, Entry.slot, slot);
}

/** What is noted of the row `distance` bytes behind the first. */
export function notesOf(b: Builder, { taken }: RowsPlace, distance: Value) {
  const vouched = b.add(b.shr(distance, PAGE_SHIFT - 3), b.const(taken + 8n));
  return {
    /** A word: 1 if it can be told when the row's owner has ended. */
    vouched,
    /** A word: how often since the last success a thread has looked for a row to take from this one on. */
    attempts: b.add(vouched, 8 * ROWS),
  };
}

/** This thread's row, or 0; `claim` takes a free one if it has none yet, and notes whether it vouches for its end. */
function findRow(b: Builder, place: RowsPlace, mode: 'find' | 'claim', vouch?: bigint): Value {
  const { index, rows } = place;
  const pointer = b.threadPointer();
  const [found] = b.loop([b.and(pointer, ROW_MASK), b.const(PROBES)], 1, (loop, [at, left]) => {
    const row = b.add(at!, b.const(rows));
    const owner = b.load(8, row, Row.owner);
    b.when(b.compare('eq', owner, pointer), () => loop.leave(row));
    if (mode === 'claim') {
      b.when(b.compare('eq', owner, 0), () => {
        b.when(b.compare('eq', b.cmpxchg(8, row, Row.owner, 0, pointer), 0), () => {
          b.store(8, row, Row.top, b.add(row, Row.entries));
          const count = b.add(b.atomic('add', 8, b.const(index), 0, 1), 1);
          b.store(8, b.add(b.const(index), b.shl(count, 3)), 0, row);
          if (vouch !== undefined) b.store(8, notesOf(b, place, at!).vouched, 0, b.callAddress(vouch, []));
          loop.leave(row);
        });
      });
    }
    const rest = b.sub(left!, 1);
    b.when(b.compare('eq', rest, 0), () => loop.leave(b.const(0)));
    loop.next(b.and(b.add(at!, PAGE), ROW_MASK), rest);
  });
  return found!;
}

/** Visits a row's entries, the highest first. */
export function forEachEntry(b: Builder, row: Value, visit: (entry: Value) => void): void {
  b.loop([b.add(row, LAST_ENTRY)], 0, (loop, [entry]) => {
    b.when(b.compare('ult', entry!, b.add(row, Row.entries)), () => loop.leave());
    visit(entry!);
    loop.next(b.sub(entry!, Entry.size));
  });
}

/** The highest entry of a row with this slot, or 0. */
function findEntry(b: Builder, row: Value, slot: Value): Value {
  const [found] = b.loop([b.add(row, LAST_ENTRY)], 1, (loop, [entry]) => {
    b.when(b.compare('eq', b.load(8, entry!, Entry.slot), slot), () => loop.leave(entry!));
    b.when(b.compare('ule', entry!, b.add(row, Row.entries)), () => loop.leave(b.const(0)));
    loop.next(b.sub(entry!, Entry.size));
  });
  return found!;
}

/** Lowers `top` past holes. An entry just being filled is none, so a handler does not pull it from under us. */
function dropHoles(b: Builder, row: Value): void {
  b.loop([], 0, (loop) => {
    const top = b.load(8, row, Row.top);
    b.when(b.compare('ule', top, b.add(row, Row.entries)), () => loop.leave());
    b.when(b.compare('ne', b.load(8, top, Entry.slot - Entry.size), HOLE), () => loop.leave());
    b.store(8, top, Entry.slot - Entry.size, 0);
    b.store(8, row, Row.top, b.sub(top, Entry.size));
    loop.next();
  });
}

function countMissed(b: Builder, hook: Value): void {
  b.loop([b.load(8, hook, Hook.count)], 0, (loop, [left]) => {
    b.when(b.compare('eq', left!, 0), () => loop.leave());
    const rest = b.sub(left!, 1);
    b.atomic('add', 8, b.load(8, b.add(hook, b.shl(rest, 3)), Hook.cells), 0, 1);
    loop.next(rest);
  });
}

/** Reads a word that may lie in memory that is gone: 0 then. */
function checkedRead(b: Builder, stackPointer: Value): (slot: Value) => Value {
  const pid = b.syscall(Syscall.getpid, []);
  const [local, remote] = [b.stack(16), b.stack(16)];
  const word = b.stack(8);
  b.store(8, local, 0, word);
  b.store(8, local, 8, 8);
  b.store(8, remote, 8, 8);
  return (slot) => {
    // The page that this thread's stack pointer points into is there.
    const isNear = b.compare('ult', b.xor(slot, stackPointer), PAGE);
    return b.choose(
      isNear,
      () => b.load(8, slot),
      () => {
        b.store(8, remote, 0, slot);
        const count = b.syscall(Syscall.process_vm_readv, [pid, local, 1, remote, 1, 0]);
        return b.select(b.compare('eq', count, 8), b.load(8, word), 0);
      },
    );
  };
}
