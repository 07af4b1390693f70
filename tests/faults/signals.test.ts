/** Faults of signals around probes: C1, C3, C5, C6 and C8. What happens at each instruction is in every-instruction.test.ts. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const object = () => openObject(objectFile('count'));

/** Has probes of `hit` come and go until `count` of `variable` are there; nothing may come out wrong meanwhile. */
function cycleUntil(faults: FaultsTarget, counting: BpfObject, variable: string, count: bigint): void {
  const program = counting.program('on_call');
  const place = `${faults.program}:hit`;
  let cycles = 0;
  const isEnough = () => {
    for (let n = 0; n < 5; n++, cycles++) program.attachUprobe(faults.target, place).detach();
    return (cycles >= 30 && faults.get(variable) >= count) || !faults.running.isRunning();
  };
  faults.start();
  waitUntil(`${variable} is ${count}`, isEnough, 120_000);
  faults.stop();
  assert.equal(faults.get('wrong'), 0n);
}

describe('faults of signals', () => {
  it('C1: 8 threads, each interrupted 10,000 times a second by a handler that hits too: every hit counts', () => {
    using faults = new FaultsTarget('profile', 8, 'signals');
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'signals:hit');
    faults.runUntil('handled', BigInt(repetitions(10_000, 1_000_000)));
    assert.equal(link.hits, faults.get('made'));
    // The same while another probe comes and goes.
    cycleUntil(faults, count, 'handled', faults.get('handled') + 5000n);
    assert.equal(link.hits, faults.get('made'));
    count[Symbol.dispose]();
    assert.deepEqual(faults.changedCode(), []);
  });

  it("C3: a fault at the probed instruction reaches the target's handler, which goes on from there", () => {
    using faults = new FaultsTarget('crash');
    using count = object();
    const { target } = faults;
    const { address } = target.resolveFunction(target.findModule('faults'), 'reader');
    faults.runUntil('made', 10n);
    assert.equal(faults.get('seen_rip'), address);
    const link = count.program('on_call').attachUprobe(target, 'faults:reader');
    const before = faults.get('made');
    faults.runUntil('made', before + 1000n);
    assert.equal(link.hits, faults.get('made') - before);
    assert.equal(faults.get('handled'), faults.get('made'), 'each fault came once');
    assert.deepEqual([faults.get('seen_address'), faults.get('seen_rdi')], [0x10n, 0x10n]);
    // The displaced copy is what faults: that is where the handler sees it.
    assert.notEqual(faults.get('seen_rip'), address);
    count[Symbol.dispose]();
    faults.runUntil('made', faults.get('made') + 10n);
    assert.equal(faults.get('seen_rip'), address);
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('C3: the same for SIGBUS', () => {
    using faults = new FaultsTarget('bus', 0, 'signals');
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'signals:reader');
    faults.runUntil('made', 1000n);
    assert.equal(link.hits, faults.get('made'));
    assert.equal(faults.get('handled'), faults.get('made'), 'each fault came once');
    assert.equal(faults.get('seen_rdi'), faults.get('seen_address'));
    assert.equal(faults.get('wrong'), 0n);
  });

  it('C3: a process that handles no fault dies of it, and of no other', () => {
    using faults = new FaultsTarget('dies', 0, 'signals');
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'signals:reader');
    faults.runUntil('made', 20n);
    assert.equal(link.hits, faults.get('made'));
    assert.equal(faults.get('wrong'), 0n);
  });

  it('C5: siglongjmp out of a handler, a thousand times a second', () => {
    using faults = new FaultsTarget('jumps');
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'faults:hit');
    faults.runUntil('handled', 100n);
    assert.ok(link.hits > 0n);
    count[Symbol.dispose]();
    faults.runUntil('handled', faults.get('handled') + 10n);
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  for (const [mode, what, count] of [
    ['stacks', 'handlers run on the alternate stack, and inside one another where they are not deferred', 1000n],
    [
      'restarts',
      'calls that wait are restarted with SA_RESTART, and interrupted by nothing but handlers without',
      200n,
    ],
    ['overflow', 'queued signals all come, in order, with their values; those that find no room are refused', 100n],
  ] as const) {
    it(`C6: ${what}`, () => {
      using faults = new FaultsTarget(mode, 0, 'signals');
      using counting = object();
      cycleUntil(faults, counting, 'made', count);
      counting[Symbol.dispose]();
      assert.deepEqual(faults.changedCode(), []);
    });
  }

  it("C8: the target's own breakpoints, and a SIGTRAP that is pending while it is blocked", () => {
    using faults = new FaultsTarget('traps');
    using count = object();
    cycleUntil(faults, count, 'made', 100n);
    assert.equal(faults.get('handled'), 2n * faults.get('made'));
    count[Symbol.dispose]();
    assert.deepEqual(faults.changedCode(), []);
  });

  it('C8: the target traces a child of its own, step by step through the probed function', () => {
    using faults = new FaultsTarget('tracer', 0, 'signals');
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'signals:hit');
    faults.runUntil('made', 20n);
    assert.equal(link.hits, faults.get('made'), 'hits of the children');
    cycleUntil(faults, count, 'made', faults.get('made') + 20n);
    assert.equal(link.hits, faults.get('made'));
  });
});
