import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, regions } from '../../tests/support/ir-evaluator.ts';
import { Builder } from '../ir/builder.ts';
import { SLOTS } from '../maps/slots.ts';
import { emitTakeSlot, slotsInUse, THREAD_SLOTS_SIZE } from './thread-slots.ts';

const ADDRESS = 0x10_0000n;
const CELLS = 0x1000n;
const PAGE = 4096;

/** A session's rows, and runs that begin and end as a test says. */
class Rows {
  readonly bytes = new Uint8Array(THREAD_SLOTS_SIZE);
  /** Process counter, missed runs, process number of the process that runs. */
  readonly cells = new BigUint64Array(3);
  readonly #threadPointers: boolean;

  constructor(threadPointers = true) {
    this.#threadPointers = threadPointers;
  }

  /**
   * The number of the slot that a run of a thread gets, 'none' if it is missed.
   *
   * @param inside happens while it has the slot
   * @param before happens before each instruction
   */
  run(threadPointer: bigint, inside?: () => void, before?: () => void): number | 'none' {
    const place = {
      address: ADDRESS,
      processCounter: CELLS,
      processCell: CELLS + 16n,
      threadPointers: this.#threadPointers,
    };
    // The call in the middle is where the program would be.
    const fn = Builder.function('run', 0, (b) => {
      const { number, release } = emitTakeSlot(b, place, CELLS + 8n);
      b.syscall(1, []);
      release(b);
      b.return(b.add(number, 1));
    });
    const memory = regions(
      { address: ADDRESS, bytes: this.bytes },
      { address: CELLS, bytes: new Uint8Array(this.cells.buffer) },
    );
    const syscall = () => {
      inside?.();
      return 0n;
    };
    const number = evaluate(fn, { memory, threadPointer, syscall, ...(before && { before }) });
    return number === 0n ? 'none' : Number(number) - 1;
  }

  /** Another process takes over: the kernel wipes its number. */
  fork(): void {
    this.cells[2] = 0n;
  }
}

const thread = (number: number) => 0x7f00_0000_0000n + BigInt(number * PAGE);

describe('thread slots', () => {
  it('are numbered as threads come, and kept', () => {
    const rows = new Rows();
    assert.deepEqual(
      [9, 3, 9, 5, 3].map((number) => rows.run(thread(number))),
      [0, 1, 0, 2, 1],
    );
    assert.equal(slotsInUse(rows.bytes), 3);
  });

  it('are never in two hands: a run inside another gets one of its own', () => {
    const rows = new Rows();
    const taken: unknown[] = [];
    const nested = (depth: number): void => {
      if (depth > 0) taken.push(rows.run(thread(1), () => nested(depth - 1)));
    };
    nested(4);
    assert.deepEqual(taken.sort(), [0, 1, 2, 3]);
    assert.equal(rows.run(thread(1)), 0, 'and afterwards the first again');
  });

  it('stay in order when a handler runs programs at any instruction of taking and giving back', () => {
    let more = true;
    for (let instruction = 0; more; instruction++) {
      const rows = new Rows();
      for (const known of [false, true]) {
        let count = 0;
        let handled: unknown;
        let held: unknown;
        const number = rows.run(
          thread(1),
          () => {
            held = rows.run(thread(1));
          },
          () => {
            if (count++ === instruction) handled = rows.run(thread(1));
          },
        );
        assert.notEqual(held, number, `the slot is taken, at instruction ${instruction}`);
        assert.notEqual(handled, 'none');
        if (known) more = count > instruction;
      }
      assert.equal(rows.run(thread(1)), 0);
      assert.ok(slotsInUse(rows.bytes) <= 3);
    }
  });

  it('of a fork child are not those of its parent, whose thread pointer it has', () => {
    const rows = new Rows();
    assert.equal(rows.run(thread(1)), 0);
    rows.fork();
    assert.equal(rows.run(thread(1)), 1);
    assert.equal(rows.run(thread(1)), 1);
  });

  it('are borrowed where there are more threads than rows, or where threads cannot be told apart', () => {
    const rows = new Rows();
    for (let number = 0; number < 1000; number++) assert.notEqual(rows.run(thread(number)), 'none');
    assert.equal(slotsInUse(rows.bytes), 129, 'all but one of the runs of others lend the same');
    const without = new Rows(false);
    assert.deepEqual(
      [1, 2, 3].map((number) => without.run(thread(number))),
      [0, 0, 0],
    );
  });

  it('are as many as there are; a run for which there is none is missed and counted', () => {
    const rows = new Rows();
    const deepest: (number | 'none')[] = [];
    const nested = (depth: number): void => {
      if (depth > 0) deepest.push(rows.run(thread(depth), () => nested(depth - 1)));
    };
    nested(SLOTS + 3);
    assert.equal(rows.cells[1], 1n, 'which ends there');
    assert.equal(new Set(deepest).size, SLOTS + 1);
    assert.equal(slotsInUse(rows.bytes), SLOTS);
    assert.notEqual(rows.run(thread(500)), 'none', 'all were given back');
  });

  it('in use are bounded, whatever the target writes there', () => {
    const rows = new Rows();
    rows.bytes.fill(0xff);
    assert.equal(slotsInUse(rows.bytes), SLOTS);
  });
});
