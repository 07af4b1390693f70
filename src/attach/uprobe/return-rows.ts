/**
 * Rows of the return stack whose threads have ended, for threads that find none. A row changes hands only when nobody can be
 * using it and nothing in it is pending. Its owner:
 *
 *     P       thread P uses it, without a lock
 *     P | 2   somebody is taking it: should P live after all, it finds that this is not its own, and claims another
 *     P | 1   not taken: P was there again, or a return is pending on a stack that wandered
 *
 * P is looked for twice, the second time when the row is marked. Who found P there before that, and has not finished its push
 * or pop, is alive then; so if P is not, nobody is in between. Of the C library's threads the kernel says who is alive: it
 * writes the id before the first instruction and clears it behind the last.
 */
import { Syscall } from '../../helpers/linux.ts';
import { Builder } from '../../ir/builder.ts';
import type { IrFunction, Value } from '../../ir/value.ts';
import { Errno } from '../../maps/map-type.ts';
import {
  Entry,
  forEachEntry,
  HOLE,
  Hook,
  Mark,
  notesOf,
  PAGE,
  PROBES,
  ROW_MASK,
  Row,
  type RowsPlace,
} from './return-code.ts';

/** A thread that looked at all its rows in vain does so again after so many more calls. */
const PATIENCE = 64;

const FAULT = -Errno.EFAULT;
/** struct iovec { void *base; size_t length; } */
const IOVEC_SIZE = 16;

/** () -> a row that is the thread's own from now on, or 0. @param idOffset from the thread pointer to the thread's id, if the C library keeps it */
export function takeRowCode(place: RowsPlace, idOffset: number | undefined): IrFunction {
  const tryRow = tryRowCode(place, idOffset);
  return Builder.function('takeRow', 0, (b) => {
    const home = b.and(b.threadPointer(), ROW_MASK);
    const attempts = notesOf(b, place, home).attempts;
    const count = b.load(8, attempts);
    b.store(8, attempts, 0, b.add(count, 1));
    b.when(b.compare('test', count, PATIENCE - 1), () => b.return(0));
    const pid = b.syscall(Syscall.getpid, []);
    b.loop([home, b.const(PROBES)], 0, (loop, [at, left]) => {
      const row = b.add(at!, b.const(place.rows));
      b.when(b.compare('ne', b.call(tryRow, [pid, row]), 0), () => {
        b.store(8, attempts, 0, 0);
        b.return(row);
      });
      const rest = b.sub(left!, 1);
      b.when(b.compare('eq', rest, 0), () => loop.leave());
      loop.next(b.and(b.add(at!, PAGE), ROW_MASK), rest);
    });
    b.return(0);
  });
}

/** () -> 1 if the id that the kernel keeps for this thread stands where the C library has it: then it tells when the thread has ended. */
export function vouchCode(idOffset: number): IrFunction {
  return Builder.function('vouch', 0, (b) => {
    const word = b.stack(8);
    const copied = read(b, b.syscall(Syscall.getpid, []), word, [[b.add(b.threadPointer(), idOffset), 4]]);
    b.when(b.compare('ne', copied, 4), () => b.return(0));
    b.return(b.compare('eq', b.load(4, word), b.syscall(Syscall.gettid, [])));
  });
}

/** (pid, row) -> 1 if it is ours now */
function tryRowCode(place: RowsPlace, idOffset: number | undefined): IrFunction {
  const [isGone, sweep] = [isGoneCode(idOffset), sweepCode()];
  return Builder.function('tryRow', 2, (b, [pid, row]) => {
    const found = b.load(8, row!, Row.owner);
    b.when(b.compare('eq', found, 0), () => b.return(0));
    b.when(b.compare('test', found, Mark.taking), () => b.return(0));
    const owner = b.and(found, ~3);
    const { vouched } = notesOf(b, place, b.sub(row!, b.const(place.rows)));
    b.when(b.compare('eq', b.call(isGone, [pid!, owner, b.load(8, vouched)]), 0), () => b.return(0));
    b.store(8, b.const(place.taken), 0, 1);
    const seen = b.cmpxchg(8, row!, Row.owner, found, b.or(owner, Mark.taking));
    b.when(b.compare('ne', seen, found), () => b.return(0));
    const isFree = b.choose(
      b.compare('ne', b.call(isGone, [pid!, owner, b.load(8, vouched)]), 0),
      () => b.call(sweep, [pid!, row!]),
      () => 0,
    );
    b.when(b.compare('eq', isFree, 0), () => {
      b.store(8, row!, Row.owner, b.or(owner, Mark.left));
      b.return(0);
    });
    b.store(8, row!, Row.top, b.add(row!, Row.entries));
    b.store(8, vouched, 0, idOffset === undefined ? 0 : b.call(vouchCode(idOffset), []));
    b.store(8, row!, Row.owner, b.threadPointer());
    b.return(1);
  });
}

/** (pid, thread pointer, whether its id can be believed) -> 1 if there is no such thread */
function isGoneCode(idOffset: number | undefined): IrFunction {
  return Builder.function('isGone', 3, (b, [pid, pointer, vouched]) => {
    const words = b.stack(16);
    const id = idOffset === undefined ? [] : ([[b.add(pointer!, idOffset), 4]] as const);
    const copied = read(b, pid!, words, [[pointer!, 8], ...id]);
    b.when(b.compare('eq', copied, FAULT), () => b.return(1));
    b.when(b.compare('slt', copied, 8), () => b.return(0));
    // Who has this pointer finds itself there.
    b.when(b.compare('ne', b.load(8, words), pointer!), () => b.return(1));
    b.when(b.compare('ne', copied, 12), () => b.return(0));
    b.when(b.compare('eq', vouched!, 0), () => b.return(0));
    b.return(b.compare('eq', b.load(4, words, 8), 0));
  });
}

/**
 * (pid, row) -> 1 if nothing in it is pending, and its entries are as new. What does not stand as we left it on a stack was
 * left behind, unless another entry of the row stands in front of it there; another thread that is putting a return address back right
 * now has either that there, or is done.
 */
function sweepCode(): IrFunction {
  return Builder.function('sweep', 2, (b, [pid, row]) => {
    const [word, pending] = [b.stack(8), b.stack(8)];
    b.store(8, pending, 0, 0);
    forEachEntry(b, row!, (entry) => {
      const slot = b.load(8, entry, Entry.slot);
      const isPending = b.choose(
        b.compare('ugt', slot, HOLE),
        () => {
          const copied = read(b, pid!, word, [[slot, 8]]);
          const found = b.load(8, word);
          const label = b.load(8, b.load(8, entry, Entry.hook), Hook.label);
          const isOurs = b.or(
            b.compare('eq', found, label),
            b.compare('eq', found, b.load(8, entry, Entry.returnAddress)),
          );
          const isUnknown = b.compare('ne', copied, 8);
          return b.and(b.or(isOurs, isUnknown), b.compare('ne', copied, FAULT));
        },
        () => 0,
      );
      b.store(8, pending, 0, b.or(b.load(8, pending), isPending));
    });
    b.when(b.compare('ne', b.load(8, pending), 0), () => b.return(0));
    forEachEntry(b, row!, (entry) => b.store(8, entry, Entry.slot, 0));
    b.return(1);
  });
}

/** Reads pieces of memory, one behind the other into `to`; the kernel says how many bytes are there, or -EFAULT. */
function read(b: Builder, pid: Value, to: Value, pieces: readonly (readonly [at: Value, size: number])[]): Value {
  const [local, remote] = [b.stack(IOVEC_SIZE), b.stack(IOVEC_SIZE * pieces.length)];
  b.store(8, local, 0, to);
  b.store(
    8,
    local,
    8,
    pieces.reduce((sum, [, size]) => sum + size, 0),
  );
  pieces.forEach(([at, size], n) => {
    b.store(8, remote, n * IOVEC_SIZE, at);
    b.store(8, remote, n * IOVEC_SIZE + 8, size);
  });
  return b.syscall(Syscall.process_vm_readv, [pid, local, 1, remote, pieces.length, 0]);
}
