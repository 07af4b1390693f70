/** Faults of threads, and of coming and going very often: B4, B6, J4. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { openObject } from '../../src/index.ts';
import { footprint } from '../support/entered.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';

const object = () => openObject(objectFile('count'));

/** KiB of memory that a process has in use. Pages of files that nobody wrote to come and go with what the kernel reads ahead. */
function residentKiB(pid: number): number {
  const mappings = readFileSync(`/proc/${pid}/smaps`, 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const field = (mapping: string, name: string): number =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(mapping)![1]);
  const isOfFile = (mapping: string): boolean => /^\S+ \S+ \S+ \S+ [1-9]\d* +\/(?!memfd:)/.test(mapping);
  return mappings.reduce((sum, mapping) => sum + field(mapping, isOfFile(mapping) ? 'Anonymous' : 'Rss'), 0);
}

/** What a process holds that could leak, and what we do. */
const holdings = (pid: number) => ({
  mappings: readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n').length,
  files: readdirSync(`/proc/${pid}/fd`).length,
  threads: readdirSync(`/proc/${pid}/task`).length,
  ours: readdirSync('/proc/self/fd').length,
});

describe('threads that end', () => {
  it('B4: by return, pthread_exit and cancellation, while probes come and go', () => {
    using faults = new FaultsTarget('exits');
    using count = object();
    const kept = count.program('on_call').attachUprobe(faults.target, 'faults:hit');
    faults.start();
    for (let cycle = 0; cycle < 20; cycle++)
      count.program('on_call').attachUprobe(faults.target, 'faults:ends').detach();
    faults.runUntil('made', 20_000n);
    assert.equal(kept.hits, faults.get('made'));
    count[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('B4: in every way inside functions whose returns are probed: no call is lost, and no memory', () => {
    using faults = new FaultsTarget('0', 0, 'ending');
    using calls = openObject(objectFile('function-calls'));
    faults.runUntil('made', 10n);
    const before = { made: faults.get('made'), vanished: faults.get('vanished') };
    const entry = calls.program('on_entry').attachUprobe(faults.target, 'ending:inside');
    const returns = ['inside', 'around'].map((name) =>
      calls.program('on_return').attachUretprobe(faults.target, `ending:${name}`),
    );
    faults.runUntil('made', 2000n);
    const settled = { ...holdings(faults.running.pid), kiB: residentKiB(faults.running.pid) };
    faults.runUntil('made', BigInt(repetitions(20_000, 1_000_000)));
    const made = faults.get('made') - before.made;
    assert.equal(entry.hits, made);
    // Who leaves by a bare system call returns from nothing, and nobody can tell.
    const left = made - (faults.get('vanished') - before.vanished);
    for (const link of returns) assert.equal(link.hits + link.missed, left);
    const { kiB, ...held } = settled;
    assert.deepEqual(holdings(faults.running.pid), held);
    assert.ok(residentKiB(faults.running.pid) - kiB < 64, `${residentKiB(faults.running.pid)} KiB, ${kiB} before`);
    calls[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });
});

describe('threads that end, each with another thread pointer', () => {
  it('B4: of three times as many as the return stack has rows every return is met', () => {
    using faults = new FaultsTarget('3000', 0, 'ending');
    using calls = openObject(objectFile('function-calls'));
    faults.runUntil('made', 10n);
    const counters = ['made', 'returned', 'vanished'] as const;
    const before = Object.fromEntries(counters.map((name) => [name, faults.get(name)]));
    const since = (name: (typeof counters)[number]) => faults.get(name) - before[name]!;
    const entry = calls.program('on_entry').attachUprobe(faults.target, 'ending:inside');
    const returns = ['inside', 'around'].map((name) =>
      calls.program('on_return').attachUretprobe(faults.target, `ending:${name}`),
    );
    faults.runUntil('made', BigInt(repetitions(6000, 1_000_000)));
    assert.equal(entry.hits, since('made'));
    for (const link of returns) {
      assert.equal(link.hits, since('returned'));
      assert.equal(link.hits + link.missed, since('made') - since('vanished'));
    }
    calls[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });
});

describe('threads that move', () => {
  it('B6: from processor to processor lose no count', () => {
    using faults = new FaultsTarget('moves', 4);
    using count = object();
    const link = count.program('on_call').attachUprobe(faults.target, 'faults:hit');
    faults.runUntil('made', BigInt(repetitions(20_000, 10_000_000)));
    assert.equal(link.hits, faults.get('made'));
    assert.deepEqual(count.map('counts').entries(), [{ key: 0, value: Number(faults.get('made')) }]);
    assert.equal(faults.get('wrong'), 0n);
  });
});

describe('coming and going', () => {
  it('J4: as a whole leaves no mapping, descriptor, thread, signal handling or memory behind', () => {
    using faults = new FaultsTarget('calls', 8);
    const { pid } = faults.running;
    const before = footprint(faults.target);
    const cycle = () => {
      using count = object();
      count.program('on_call').attachUprobe(faults.target, 'faults:hit');
    };
    faults.start();
    for (let n = 0; n < 10; n++) cycle();
    const [held, kiB] = [holdings(pid), residentKiB(pid)];
    for (let n = 0; n < repetitions(20, 100_000); n++) cycle();
    assert.deepEqual(holdings(pid), held);
    assert.ok(residentKiB(pid) - kiB <= 4, `${residentKiB(pid)} KiB, ${kiB} before`);
    faults.stop();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(footprint(faults.target), before);
  });

  it('J4: of one program in an object that stays takes no memory either', () => {
    using faults = new FaultsTarget('calls', 8);
    using count = object();
    const { pid } = faults.running;
    const before = footprint(faults.target);
    const cycle = () => count.program('on_call').attachUprobe(faults.target, 'faults:hit').detach();
    faults.start();
    for (let n = 0; n < 10; n++) cycle();
    const [held, kiB] = [holdings(pid), residentKiB(pid)];
    for (let n = 0; n < repetitions(200, 100_000); n++) cycle();
    assert.deepEqual(holdings(pid), held);
    assert.ok(residentKiB(pid) - kiB <= 4, `${residentKiB(pid)} KiB, ${kiB} before`);
    faults.stop();
    count[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(footprint(faults.target), before);
  });
});
