/** Traces of the stack in live processes: the frames that are there, by name, and every one counted. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';

const EFAULT = -14;
const EINVAL = -22;
/** A program, and how many of its traces there are by their frames, innermost first; distances and modules left out. */
type Case = readonly [program: string, place: string, frames: number, traces: Readonly<Record<string, number>>];

const CALLS = 8 * 200;
const CASES: readonly Case[] = [
  [
    'on_leaf',
    'uprobe:chain:leaf',
    4,
    {
      'leaf < step+ < way_one+ < start+': CALLS,
      'leaf < step+ < way_two+ < start+': CALLS,
    },
  ],
  [
    'on_leaf_return',
    'uretprobe:chain:leaf',
    3,
    {
      'step+ < way_one+ < start+': CALLS,
      'step+ < way_two+ < start+': CALLS,
    },
  ],
];

for (const compiler of COMPILERS) {
  describe(`traces of the stack, ${compiler}`, { skip: CANNOT_TRACE }, () => {
    for (const [program, place, frames, traces] of CASES) {
      it(`of ${place} have every frame that has a frame pointer, and all are counted`, () => {
        using target = new ReturningTarget('chain', 'chain');
        using process = openProcess(target.pid);
        const object = openObject(objectFile('stacks', compiler));
        object.program(program).attachTo(process, place);
        assert.equal(target.run(), BigInt(2 * CALLS));
        assert.deepEqual(tracesOf(object, frames), traces);
        object[Symbol.dispose]();
        assert.deepEqual(tracesOf(object, frames), traces, 'names stay when the object has left');
        assert.equal(target.wrong, 0n);
      });
    }

    it('of a system call begin behind its instruction', () => {
      using target = new ReturningTarget('chain', 'ask');
      using process = openProcess(target.pid);
      using object = openObject(objectFile('stacks', compiler));
      object.program('on_getppid').attach(process);
      target.run();
      const counts = tracesOf(object, 1);
      assert.equal(counts['ask+'], 1);
      assert.equal(target.wrong, 0n);
    });

    it('go where they fit, without those left out, and zeros behind them', () => {
      using target = new ReturningTarget('chain', 'chain');
      using process = openProcess(target.pid);
      using object = openObject(objectFile('stacks', compiler));
      object.program('on_leaf').attachUprobe(process, 'chain:leaf');
      target.run();
      const [whole, part, kernel, bad] = object
        .map('latest')
        .entries()
        .map(({ value }) => ({ ...(value as { size: number; addresses: (number | string)[] }) }));
      const count = whole!.size / 8;
      assert.ok(count >= 4 && count <= 6, `${count}`);
      assert.ok(whole!.addresses.every((address, index) => (address === 0) === index >= count));
      assert.deepEqual(part!.addresses.slice(0, 4), whole!.addresses.slice(2));
      const zeros = [0, 0, 0, 0, 0, 0];
      assert.deepEqual(kernel, { size: 0, addresses: zeros }, 'a process has no frames of the kernel');
      assert.deepEqual(bad, { size: EINVAL, addresses: zeros });
    });

    for (const program of ['on_leaf_kernel', 'on_leaf_deep']) {
      it(`are EFAULT where there is nothing: ${program}`, () => {
        using target = new ReturningTarget('chain', 'chain');
        using process = openProcess(target.pid);
        using object = openObject(objectFile('stacks', compiler));
        object.program(program).attachUprobe(process, 'chain:leaf');
        target.run();
        assert.deepEqual(object.map('counts').entries(), [{ key: EFAULT, value: 2 * CALLS }]);
        assert.deepEqual(object.map('traces').entries(), []);
      });
    }
  });
}

/** How often each trace was counted, by its innermost frames. */
function tracesOf(object: BpfObject, frames: number): Record<string, number> {
  const traces = new Map(
    object
      .map('traces')
      .entries()
      .map(({ key, value }) => [Number(key), value as string[]]),
  );
  const counts: Record<string, number> = {};
  for (const { key, value } of object.map('counts').entries()) {
    const trace = traces.get(Number(key)) ?? [];
    const name = trace
      .slice(0, frames)
      .map((frame) => frame.replace(/\+0x.*| \(chain\)$/, (end) => (end[0] === '+' ? '+' : '')))
      .join(' < ');
    counts[name] = (counts[name] ?? 0) + Number(value);
  }
  return counts;
}
