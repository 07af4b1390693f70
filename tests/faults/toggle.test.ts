/**
 * Faults A1 to A3: attach and detach under full load, 10,000 times against 8 threads that call the probed functions without
 * end, and at every byte of a cache line. So that the test means something, a patcher that does not stop the threads is shown
 * to kill the same target.
 */
import assert from 'node:assert/strict';
import { closeSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { emitTrampoline } from '../../src/arch/x64/trampoline.ts';
import { findWindow, JUMP_SIZE } from '../../src/arch/x64/window.ts';
import { openObject, openProcess } from '../../src/index.ts';
import { Injection } from '../../src/inject/injection.ts';
import { codeMapOf } from '../../src/process/module-code.ts';
import { CALLED, CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { repetitions } from '../support/long-form.ts';
import { ROOT } from '../support/root.ts';

const THREADS = 8;
const JUMP = BigInt(JUMP_SIZE);
const CYCLES = repetitions(10_000, 10_000_000);
/** How often the sites of a cache line come and go, all of them in one stop. */
const SWEEPS = repetitions(100, 10_000);
const OBJECT = readFileSync(join(ROOT, 'tests/objects/clang-14/count.bpf.o'));

describe('attach and detach against threads in full flight', () => {
  it('A1: leaves the target right after thousands of cycles', () => {
    using target = new CallsTarget(THREADS);
    const before = codeHashes(target.pid);
    using process = openProcess(target.pid);
    using object = openObject(OBJECT);
    const program = object.program('on_call');
    target.start();
    let hits = 0n;
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      const link = program.attachUprobe(process, `calls:${CALLED[cycle % CALLED.length]}`);
      link.detach();
      hits += link.hits;
    }
    target.stop();
    object[Symbol.dispose]();
    assert.ok(target.target.isRunning());
    assert.equal(target.wrong, 0n);
    assert.ok(hits > 0n, 'no call was made while a probe was attached');
    assert.deepEqual(codeHashes(target.pid), before);
  });

  it('A1: comes and goes as a whole, 200 times', () => {
    using target = new CallsTarget(THREADS);
    const before = codeHashes(target.pid);
    target.start();
    for (let cycle = 0; cycle < 200; cycle++) {
      using process = openProcess(target.pid);
      using object = openObject(OBJECT);
      const places = new Map([['on_call', `uprobe:calls:${CALLED[cycle % CALLED.length]}`]]);
      object.attachAll(process, places);
    }
    target.stop();
    assert.equal(target.wrong, 0n);
    assert.deepEqual(codeHashes(target.pid), before);
  });

  it('A3: at every byte of a cache line, and across the end of a page', () => {
    using faults = new FaultsTarget('straddles', 2);
    using count = openObject(OBJECT);
    faults.start();
    let hits = 0n;
    for (let sweep = 0; sweep < SWEEPS; sweep++) {
      const link = count.program('on_call').attachUprobeMulti(faults.target, 'faults:straddle_*');
      assert.deepEqual(new Set(link.addresses.map((address) => address % 64n)).size, 64);
      assert.equal(link.addresses.filter((address) => address % 4096n > 4096n - JUMP).length, 4);
      link.detach();
      hits += link.hits;
    }
    faults.stop();
    count[Symbol.dispose]();
    assert.ok(hits > 0n);
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });

  it('A2: is not survived by a patcher that writes five bytes and hopes', () => {
    const TRIALS = 6;
    let died = 0;
    for (let trial = 0; trial < TRIALS; trial++) {
      using target = new CallsTarget(THREADS);
      target.start();
      if (!survivesNaivePatcher(target, 1000)) died++;
    }
    assert.ok(died >= TRIALS - 1, `${died} of ${TRIALS} targets died: the load does not reach the danger`);
  });
});

/** Toggles a jump at work_push without stopping anybody, byte after byte. True if the target is alive and right after it. */
function survivesNaivePatcher(target: CallsTarget, milliseconds: number): boolean {
  const process = openProcess(target.pid);
  const injection = new Injection(process);
  const { module, address, size } = process.resolveFunction(process.findModule('calls'), 'work_push');
  const code = process.memory.read(address, size);
  const start = Number(address - module.bias);
  const window = findWindow(codeMapOf(module.elf), start, { start, end: start + size });
  assert.ok('length' in window);
  const { origin } = injection.layCode(address, (at) => {
    const place = { origin: at, window: code.subarray(0, window.length), site: address };
    return { bytes: emitTrampoline([], place).bytes, result: undefined };
  });
  const jump = Buffer.alloc(JUMP_SIZE, 0xe9);
  jump.writeInt32LE(Number(origin - address) - JUMP_SIZE, 1);
  const memory = openSync(`/proc/${target.pid}/mem`, 'r+');
  try {
    const deadline = performance.now() + milliseconds;
    while (performance.now() < deadline) {
      for (const bytes of [jump, code.subarray(0, JUMP_SIZE)]) {
        for (let i = 0; i < JUMP_SIZE; i++) writeSync(memory, bytes, i, 1, Number(address) + i);
      }
      if (!target.target.isRunning()) return false;
    }
    return target.target.isRunning();
  } catch {
    return false; // its memory went away under the write
  } finally {
    closeSync(memory);
  }
}
