/** Faults of patching under load: A6 and A15 to A18. The rest of A is in toggle, parked, zoo, registers and whole-library. */
import assert from 'node:assert/strict';
import { closeSync, existsSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { loadProgram } from '../../benchmarks/kernel/bpf.ts';
import { openUprobe } from '../../benchmarks/kernel/uprobe-event.ts';
import { JUMP_SIZE } from '../../src/arch/x64/window.ts';
import { toHex } from '../../src/bytes/hex.ts';
import { openObject, readObject } from '../../src/index.ts';
import { Debugger } from '../support/debugger.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { SteppedTarget } from '../support/stepped-target.ts';

const object = () => openObject(objectFile('count'));

/** Why the kernel can set no uprobe here; in CI it must. */
const CANNOT_PROBE =
  process.env.CI !== 'true' && !existsSync('/sys/bus/event_source/devices/uprobe') && 'the kernel has no uprobes';

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

  for (const [what, library, names] of [
    [
      'memory and text, whichever variant the loader chose, and mutexes',
      'libc.so.6',
      [
        'malloc',
        'free',
        'calloc',
        'realloc',
        'memcpy',
        'memmove',
        'memset',
        'strlen',
        'strchr',
        'pthread_mutex_lock',
        'pthread_mutex_unlock',
      ],
    ],
    ['the dynamic loader', 'ld-linux-x86-64.so.2', ['__tls_get_addr', '_dl_allocate_tls', '_dl_deallocate_tls']],
  ] as const) {
    it(`A15: probes inside ${what}, with 8 threads in them`, () => {
      using faults = new FaultsTarget('libc', 8);
      using hash = openObject(join(ROOT, 'examples/malloc-count.bpf.o'));
      faults.runUntil('made', 100n);
      const before = faults.get('made');
      const links = names.map((name) => hash.program('on_malloc').attachUprobe(faults.target, `${library}:${name}`));
      faults.runUntil('made', before + 5000n);
      const made = faults.get('made') - before;
      for (const [n, link] of links.entries()) assert.ok(link.hits >= made, `${names[n]}: ${link.hits} of ${made}`);
      hash[Symbol.dispose]();
      assert.equal(faults.get('wrong'), 0n);
      assert.deepEqual(faults.changedCode(), []);
    });
  }

  it('A16: 64 programs at one place run in the order they came', () => {
    using faults = new FaultsTarget('calls', 1);
    using order = openObject(objectFile('order'));
    const cookies = Array.from({ length: 64 }, (_, n) => BigInt((n * 37) % 64));
    for (const cookie of cookies) order.program('on_call').attachUprobe(faults.target, 'faults:hit', { cookie });
    faults.runUntil('made', 100n);
    const ran = order
      .map('order')
      .entries()
      .map(({ value }) => BigInt(value as number));
    assert.deepEqual(ran.slice(0, 128), [...cookies, ...cookies]);
    order[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
  });

  it('A16: 64 programs at one place, and those that are left when others go', () => {
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

  it('A17: a uprobe of the kernel: in front of ours it is refused, and what is left of ours when it goes is put right', {
    skip: CANNOT_PROBE,
  }, () => {
    using faults = new FaultsTarget('calls');
    using count = object();
    const { target } = faults;
    const module = target.findModule('faults');
    const { address } = target.resolveFunction(module, 'hit');
    const code = () => toHex(target.memory.read(address, JUMP_SIZE));
    const attach = () => count.program('on_call').attachUprobe(target, 'faults:hit');
    const program = loadProgram(readObject(objectFile('empty')).programs[0]!, 'GPL', new Map());
    const place = {
      pid: faults.running.pid,
      path: module.path,
      offset: Number(address - module.bias),
      at: 'entry',
    } as const;
    const original = code();

    const first = openUprobe(program, place);
    assert.equal(code(), `cc${original.slice(2)}`);
    assert.throws(attach, { code: 'ATTACH_SITE_PATCHED' });
    closeSync(first);
    assert.equal(code(), original);

    // The other order. The target stands: the kernel would lead a thread from there into the middle of our jump.
    const link = attach();
    const jump = code();
    const second = openUprobe(program, place);
    assert.equal(code(), `cc${jump.slice(2)}`);
    assert.throws(() => link.detach(), { code: 'INJECT_SITE_CHANGED' });
    closeSync(second);
    assert.equal(code(), original.slice(0, 2) + jump.slice(2), 'the kernel puts back the byte of the file');
    closeSync(program);
    count[Symbol.dispose]();
    assert.deepEqual(faults.changedCode(), []);
    faults.runUntil('made', 1000n);
    assert.equal(faults.get('wrong'), 0n);
  });

  it('A17: a process that a debugger traces is refused by name, and taken when that has left', () => {
    using stepped = new SteppedTarget();
    using count = object();
    stepped.start();
    const debug = new Debugger(stepped.running.pid);
    const attach = () => count.program('on_call').attachUprobe(stepped.target, 'stepped:frame');
    assert.throws(attach, { code: 'PROCESS_TRACED' });
    debug[Symbol.dispose]();
    const link = attach();
    stepped.runOn();
    assert.ok(link.hits > 0n);
    assert.equal(stepped.get('wrong'), 0n);
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
