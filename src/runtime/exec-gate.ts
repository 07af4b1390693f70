/**
 * Where threads wait that are about to replace their program, so that their controller can follow them: each writes its id into a
 * cell and sleeps until somebody has changed it. It waits as long as its controller lives and answers, and no longer than that.
 *
 *     | open u32, requests u32 | missed u64 | a tenth of a second, timespec | pad to 64 | cell 0 | cell 1 | ...  64 bytes each
 *     a cell:  0: free; a thread's id: it waits; that and ANSWERED: it may go on, and frees the cell
 */
import { Builder } from '../ir/builder.ts';
import { optimize } from '../ir/passes/optimize.ts';
import type { IrFunction } from '../ir/value.ts';
import { mapMemory } from '../maps/memory.ts';
import { HOLDER_DIED } from '../sys/robust-word.ts';
import { emitLeaseTest } from './lease.ts';

const At = { open: 0, requests: 4, missed: 8, timeout: 16 } as const;
const CELL = 64;
const CELLS = 63;
/** Bytes of shared memory. */
export const EXEC_GATE_SIZE = CELL * (1 + CELLS);

const ANSWERED = 1n << 32n;
const TENTH_NS = 100_000_000n;
/** How often a thread waits that long before it goes on by itself. */
const PATIENCE = 40;

const SYS_GETTID = 186;
const SYS_FUTEX = 202;
const FUTEX_WAIT = 0;

/** Where it lies in the target. */
export interface ExecGatePlace {
  /** Address of the memory laid out above. */
  readonly address: bigint;
  /** Of the word that says whether the controller lives. */
  readonly leaseCell: bigint;
}

/** What a thread runs in front of the call that replaces its program. */
export function execGateCode({ address, leaseCell }: ExecGatePlace): IrFunction {
  const fn = Builder.function('exec:gate', 0, (b) => {
    const gate = b.const(address);
    emitLeaseTest(b, leaseCell);
    b.when(b.compare('eq', b.load(4, gate, At.open), 0), () => b.return(0), 'cold');
    const thread = b.syscall(SYS_GETTID, []);
    const [cell] = b.loop([b.const(address + BigInt(CELL))], 1, (loop, [at]) => {
      b.when(b.compare('eq', b.cmpxchg(8, at!, 0, 0, thread), 0), () => loop.leave(at!));
      const next = b.add(at!, CELL);
      b.when(b.compare('uge', next, address + BigInt(EXEC_GATE_SIZE)), () => {
        b.atomic('add', 8, gate, At.missed, 1);
        b.return(0);
      });
      loop.next(next);
    });
    b.atomic('add', 4, gate, At.requests, 1);
    b.loop([b.const(PATIENCE)], 0, (loop, [left]) => {
      b.when(b.compare('ne', b.load(8, cell!), thread), () => loop.leave());
      b.when(b.compare('uge', b.load(4, b.const(leaseCell)), HOLDER_DIED), () => loop.leave());
      b.when(b.compare('eq', left!, 0), () => {
        b.atomic('add', 8, gate, At.missed, 1);
        loop.leave();
      });
      b.syscall(SYS_FUTEX, [cell!, FUTEX_WAIT, thread, address + BigInt(At.timeout), 0, 0]);
      loop.next(b.sub(left!, 1));
    });
    b.store(8, cell!, 0, 0);
    b.return(0);
  });
  optimize(fn);
  return fn;
}

/** The controller's side of it. */
export class ExecGate {
  readonly #words: BigInt64Array;
  readonly #view: DataView;
  readonly #wake: (offset: number) => void;
  #seen = 0;

  /** @param wake wakes who waits for the word at an offset of `bytes` */
  constructor(bytes: Uint8Array, wake: (offset: number) => void) {
    this.#words = mapMemory(bytes).words;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#wake = wake;
    this.#view.setBigUint64(At.timeout + 8, TENTH_NS, true);
    this.#view.setUint32(At.open, 1, true);
  }

  /** Threads that have gone on unfollowed: nobody answered, or too many waited. */
  get missed(): bigint {
    return this.#view.getBigUint64(At.missed, true);
  }

  /** Calls `meet` for each thread that waits, and lets it go on then. The ids are the target's to write: believe none. */
  answer(meet: (tid: number) => void): void {
    const requests = this.#view.getUint32(At.requests, true);
    if (requests === this.#seen) return;
    this.#seen = requests;
    for (let cell = 1; cell <= CELLS; cell++) {
      const word = Atomics.load(this.#words, (cell * CELL) / 8);
      if (word <= 0n || word >= ANSWERED) continue;
      meet(Number(word));
      this.#letGo(cell, word);
    }
  }

  /** Frees cells of threads that ended before they could. */
  sweep(isThere: (tid: number) => boolean): void {
    for (let cell = 1; cell <= CELLS; cell++) {
      const word = Atomics.load(this.#words, (cell * CELL) / 8);
      if (word > ANSWERED && !isThere(Number(word - ANSWERED))) {
        Atomics.compareExchange(this.#words, (cell * CELL) / 8, word, 0n);
      }
    }
  }

  /** From now on nobody waits. */
  close(): void {
    this.#view.setUint32(At.open, 0, true);
    this.#seen = -1;
    this.answer(() => {});
  }

  #letGo(cell: number, word: bigint): void {
    Atomics.compareExchange(this.#words, (cell * CELL) / 8, word, word | ANSWERED);
    this.#wake(cell * CELL);
  }
}
