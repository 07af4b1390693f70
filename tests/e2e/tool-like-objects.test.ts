/** Objects in the style of tools that people use, with helpers that are newer than those: the numbers of a workload that is known. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';

/** Of allocating.c. */
const [THREADS, ROUNDS] = [4, 300];
const CALLS = THREADS * ROUNDS;
/** Blocks and bytes that each of the places keeps. */
const SOME = { blocks: CALLS / 3, bytes: (CALLS / 3) * 100 };
const ALL = { blocks: CALLS, bytes: (CALLS / 2) * (24 + 40) };

/** Names of the innermost functions of each trace, by its number. */
function tracesOf(object: BpfObject): Map<number, string> {
  const traces = object.map('stacks').entries();
  return new Map(
    traces.map(({ key, value }) => {
      const frames = value as string[];
      return [Number(key), frames.map((frame) => /^[^+ ]*/.exec(frame)![0]).join(' < ')];
    }),
  );
}

for (const compiler of COMPILERS) {
  describe(`objects like those of tools, ${compiler}`, { skip: CANNOT_TRACE }, () => {
    it('find every block that was not given back, by who took it', () => {
      using target = new ReturningTarget('allocating', 'allocate');
      using process = openProcess(target.pid);
      using object = openObject(objectFile('leaks', compiler));
      const links = [
        ['on_take', 'uprobe:allocating:take'],
        ['on_taken', 'uretprobe:allocating:take'],
        ['on_give', 'uprobe:allocating:give'],
        ['on_report', 'uprobe:allocating:report'],
      ].map(([program, place]) => object.program(program!).attachTo(process, place!));
      assert.equal(target.run(), BigInt(2 * CALLS));
      assert.deepEqual(
        links.map(({ hits, missed }) => [Number(hits), Number(missed)]),
        [2 * CALLS, 2 * CALLS, CALLS - SOME.blocks, 1].map((hits) => [hits, 0]),
      );
      const totals = object.map('totals').entries();
      assert.deepEqual(
        totals.map(({ value }) => value),
        [2 * CALLS, CALLS - SOME.blocks],
      );
      assert.equal(object.map('blocks').entries().length, SOME.blocks + ALL.blocks);
      assert.deepEqual(object.map('sizes').entries(), []);

      const traces = tracesOf(object);
      const left = object.map('left_by_stack').entries();
      const found = left.map(({ key, value }) => {
        const { bytes, blocks } = value as { bytes: number; blocks: number };
        return [traces.get(Number(key)), { blocks, bytes }] as const;
      });
      assert.deepEqual(Object.fromEntries(found), { 'keep_some < work': SOME, 'keep_all < work': ALL });

      const lines: string[] = [];
      object.map('lines').events!.each((line) => lines.push((line as { text: string }).text));
      const expected = [SOME, ALL].map(({ blocks, bytes }) => `${bytes} bytes in ${blocks} blocks`);
      assert.deepEqual(lines.sort(), expected.sort());
      assert.equal(target.wrong, 0n);
    });

    it('count every system call and its time, by who made it', () => {
      using target = new ReturningTarget('allocating', 'allocate');
      using process = openProcess(target.pid);
      using object = openObject(objectFile('waits', compiler));
      for (const [program, place] of [
        ['on_enter', 'tracepoint:syscalls:sys_enter_futex'],
        ['on_exit', 'tracepoint:syscalls:sys_exit_futex'],
      ]) {
        object.program(program!).attachTo(process, place!);
      }
      target.run();
      const traces = tracesOf(object);
      const counts = object
        .map('by_stack')
        .entries()
        .map(({ key, value }) => ({ trace: traces.get(Number(key)), ...(value as Record<'calls' | 'sum', number>) }))
        // The C library makes calls of its own.
        .filter(({ trace }) => trace === 'syscall < work') as unknown as {
        calls: number;
        sum: number;
        slots: number[];
      }[];
      assert.deepEqual(
        counts.map(({ calls }) => calls).sort((a, b) => a - b),
        [CALLS, 5 * CALLS],
      );
      for (const { calls, sum, slots } of counts) {
        assert.equal(
          slots.reduce((a, b) => a + b),
          calls,
        );
        // What falls into a slot takes less than twice its power of two; the last takes all that is longer.
        const least = slots.reduce((time, count, bits) => time + (bits === 0 ? 0 : count * 2 ** bits), 0);
        const isWithin = sum < 2 * least + 2 * slots[0]! || slots.at(-1)! > 0;
        assert.ok(sum >= least && isWithin, `${sum} for ${slots}`);
      }
      assert.equal(target.wrong, 0n);
    });
  });
}
