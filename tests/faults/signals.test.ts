/** Faults of signals around probes: C1 to C6 and C8. Bad pointers given to helpers (C4) are a test of those. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { ROOT } from '../support/root.ts';

const object = () => openObject(join(ROOT, 'tests/objects/clang-14/count.bpf.o'));

describe('faults of signals', () => {
  it('C1, C2: a profiling timer whose handler hits the same probe: every hit counts', () => {
    using faults = new FaultsTarget('signals', 8);
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'faults:hit');
    faults.runUntil('handled', 50n);
    assert.equal(link.hits, faults.get('made'));
    assert.equal(faults.get('wrong'), 0n);
    faults.start();
    for (let cycle = 0; cycle < 30; cycle++)
      count.program('on_call').attachUprobe(faults.target, 'faults:on_profile').detach();
    faults.stop();
    assert.equal(link.hits, faults.get('made'));
    count[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
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

  it('C5: siglongjmp out of a handler that came in a trampoline', () => {
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

  it('C6: queued signals all come, in order, with their values', () => {
    using faults = new FaultsTarget('queue');
    using count = object();
    faults.start();
    for (let cycle = 0; cycle < 30; cycle++)
      count.program('on_call').attachUprobe(faults.target, 'faults:hit').detach();
    faults.stop();
    count[Symbol.dispose]();
    assert.equal(faults.get('handled'), 32n * faults.get('made'));
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it("C8: the target's own breakpoints, and a SIGTRAP that is pending while it is blocked", () => {
    using faults = new FaultsTarget('traps');
    using count = object();
    faults.start();
    for (let cycle = 0; cycle < 30; cycle++)
      count.program('on_call').attachUprobe(faults.target, 'faults:hit').detach();
    faults.stop();
    count[Symbol.dispose]();
    assert.ok(faults.get('made') > 0n);
    assert.equal(faults.get('handled'), 2n * faults.get('made'));
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });
});
