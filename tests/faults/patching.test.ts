/** Faults of patching under load: A6 and A15 to A18. The rest of A is in toggle, parked, zoo, registers and whole-library. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { ROOT } from '../support/root.ts';

const object = () => openObject(join(ROOT, 'tests/objects/clang-14/count.bpf.o'));
const heavy = () => openObject(join(ROOT, 'examples/malloc-count.bpf.o'));

describe('faults of patching', () => {
  it('A6: threads inside a callee that the displaced call called', () => {
    using faults = new FaultsTarget('sleeps', 8);
    using count = object();
    faults.start();
    for (let cycle = 0; cycle < 20; cycle++)
      count.program('on_call').attachUprobe(faults.target, 'faults:calling').detach();
    faults.stop();
    count[Symbol.dispose]();
    assert.ok(faults.get('made') > 0n);
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('A15: probes inside malloc, free, strlen and mutexes, with 8 threads in them', () => {
    using faults = new FaultsTarget('libc', 8);
    using hash = heavy();
    faults.runUntil('made', 1000n);
    const before = faults.get('made');
    const names = ['malloc', 'free', 'strlen', 'pthread_mutex_lock', 'pthread_mutex_unlock'];
    const links = names.map((name) => hash.program('on_malloc').attachUprobe(faults.target, `libc.so.6:${name}`));
    faults.runUntil('made', before + 20_000n);
    const made = faults.get('made') - before;
    for (const [n, link] of links.entries()) assert.ok(link.hits >= made, `${names[n]}: ${link.hits} of ${made}`);
    hash[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('A16: 64 programs at one place, in the order they came', () => {
    using faults = new FaultsTarget('calls', 2);
    using count = object();
    const links = Array.from({ length: 64 }, () => count.program('on_call').attachUprobe(faults.target, 'faults:hit'));
    faults.runUntil('made', 10_000n);
    for (const link of links) assert.equal(link.hits, faults.get('made'));
    for (const link of links.slice(0, 63)) link.detach();
    faults.runUntil('made', faults.get('made') + 10_000n);
    assert.equal(links[63]!.hits, faults.get('made'));
    count[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it("A17: another tool's breakpoint is seen, and never taken for the original", () => {
    using faults = new FaultsTarget('calls');
    using count = object();
    const { target } = faults;
    const { address } = target.resolveFunction(target.findModule('faults'), 'hit');
    const attach = () => count.program('on_call').attachUprobe(target, 'faults:hit');
    const original = target.memory.read(address, 1);
    for (const at of [address, address + 1n]) {
      const byte = target.memory.read(at, 1);
      target.memory.write(at, Uint8Array.of(0xcc));
      assert.throws(attach, { code: 'ATTACH_SITE_PATCHED' });
      target.memory.write(at, byte);
    }
    const link = attach();
    // The other order: theirs on top of ours. Ours cannot be taken off then, and theirs stays.
    const ours = target.memory.read(address, 1);
    target.memory.write(address, Uint8Array.of(0xcc));
    assert.throws(() => link.detach(), { code: 'INJECT_SITE_CHANGED' });
    assert.equal(target.memory.read(address, 1)[0], 0xcc);
    target.memory.write(address, ours);
    link.detach();
    count[Symbol.dispose]();
    assert.deepEqual(target.memory.read(address, 1), original);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('A18: no room within reach is a clean refusal', () => {
    using faults = new FaultsTarget('full');
    using count = object();
    assert.throws(() => count.program('on_call').attachUprobe(faults.target, 'faults:hit'), { code: 'INJECT_NO_GAP' });
    count[Symbol.dispose]();
    assert.deepEqual(faults.changedCode(), []);
    faults.runUntil('made', 10n);
    assert.equal(faults.get('wrong'), 0n);
  });
});
