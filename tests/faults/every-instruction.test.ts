/**
 * What may happen to a thread in a trampoline, tried at every instruction of one: faults A4 (the probe is taken away), C2 (a
 * signal whose handler calls the probed function), C5 (one whose handler never comes back).
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfLink, type BpfObject, openObject } from '../../src/index.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { SteppedTarget } from '../support/stepped-target.ts';

const { SIGUSR1, SIGUSR2 } = constants.signals;

interface Probes {
  readonly object: () => BpfObject;
  readonly attach: (object: BpfObject, stepped: SteppedTarget) => BpfLink[];
}

/** What runs there: an inlined count, inserts into a hash out of line, an entry and a return with the return stack between. */
const PROBES: Readonly<Record<string, Probes>> = {
  'a program that counts': {
    object: () => openObject(objectFile('count')),
    attach: (object, { target }) => [object.program('on_call').attachUprobe(target, 'stepped:frame')],
  },
  'a program that inserts into a hash': {
    object: () => openObject(join(ROOT, 'examples/malloc-count.bpf.o')),
    attach: (object, { target }) => [object.program('on_malloc').attachUprobe(target, 'stepped:frame')],
  },
  'programs at entry and return': {
    object: () => openObject(objectFile('function-calls')),
    attach: (object, { target }) => [
      object.program('on_entry').attachUprobe(target, 'stepped:frame'),
      object.program('on_return').attachUretprobe(target, 'stepped:frame'),
    ],
  },
};

/** What the programs counted in the first of their maps; of what they saw beside that only the count of entries. */
const sumOf = (object: BpfObject): bigint => {
  const entries = object.maps[0]!.entries();
  const counts = object.maps[0]!.name === 'seen' ? entries.slice(0, 1) : entries;
  return counts.reduce((sum, { value }) => sum + BigInt(value as number), 0n);
};

/** Unwinders stay probed until we leave. */
const ofTheProgram = (mappings: readonly string[]): string[] => mappings.filter((name) => name.endsWith('stepped'));

const hitsOf = (links: readonly BpfLink[]): bigint[] => links.map(({ hits }) => hits);

for (const [what, { object: open, attach }] of Object.entries(PROBES)) {
  describe(`a thread at every instruction of ${what}`, () => {
    it('A4: goes on there when the probe is taken off', () => {
      using stepped = new SteppedTarget();
      using object = open();
      stepped.start();
      let steps = 2;
      for (let step = 1; step < steps; step++) {
        const links = attach(object, stepped);
        if (step === 1) steps = stepped.countSteps('frame', 0n);
        stepped.park(stepped.stepInto('frame', step, BigInt(step)));
        for (const link of links) link.detach();
        assert.deepEqual(ofTheProgram(stepped.changedCode()), []);
        stepped.continue();
        stepped.runOn();
        assert.equal(stepped.get('wrong'), 0n, `at step ${step}`);
      }
      assert.ok(steps > 10, `${steps} steps`);
      object[Symbol.dispose]();
      assert.deepEqual(stepped.changedCode(), []);
    });

    it('A4: goes on there when all of ours is taken away', () => {
      for (const step of [1, 5, 9, 13, 17]) {
        using stepped = new SteppedTarget();
        using object = open();
        stepped.start();
        attach(object, stepped);
        stepped.park(stepped.stepInto('frame', step, BigInt(step)));
        // Its code is given back too, but not before the thread has left it; unwinders stay probed with it.
        object[Symbol.dispose]();
        assert.deepEqual(ofTheProgram(stepped.changedCode()), []);
        stepped.continue();
        stepped.runOn();
        assert.equal(stepped.get('wrong'), 0n, `at step ${step}`);
      }
    });

    it('C2: a signal comes there whose handler calls the probed function: both are counted', () => {
      using stepped = new SteppedTarget();
      using object = open();
      const links = attach(object, stepped);
      stepped.start();
      const steps = stepped.countSteps('frame', 0n);
      for (let step = 1; step < steps; step++) {
        stepped.stepInto('frame', step, BigInt(step)).leave(SIGUSR1);
        stepped.runOn();
        assert.equal(stepped.get('handled'), BigInt(step));
        assert.equal(stepped.get('wrong'), 0n, `at step ${step}`);
      }
      stepped.stop();
      const begun = stepped.get('begun');
      assert.deepEqual(
        hitsOf(links),
        links.map(() => begun),
      );
      assert.equal(sumOf(object), begun, 'what the program itself has counted');
    });

    it('C5: a signal comes there whose handler leaves by siglongjmp: what comes later is counted', () => {
      using stepped = new SteppedTarget();
      using object = open();
      const links = attach(object, stepped);
      stepped.start();
      const steps = stepped.countSteps('frame', 0n);
      for (let step = 1; step < steps; step++) {
        stepped.stepInto('frame', step, BigInt(step)).leave(SIGUSR2);
        stepped.runOn();
        assert.equal(stepped.get('wrong'), 0n, `at step ${step}`);
      }
      stepped.stop();
      const jumps = stepped.get('handled');
      assert.equal(jumps, BigInt(steps - 1));
      const begun = stepped.get('begun');
      for (const link of links) {
        assert.ok(link.hits <= begun && link.hits >= begun - jumps, `${link.hits} of ${begun}, ${jumps} left`);
      }
      const before = hitsOf(links);
      stepped.start();
      stepped.runOn();
      stepped.stop();
      const more = stepped.get('begun') - begun;
      assert.deepEqual(
        hitsOf(links),
        before.map((hits) => hits + more),
      );
      assert.equal(stepped.get('wrong'), 0n);
    });
  });
}
