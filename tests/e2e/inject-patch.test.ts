/** Changing code while threads are in it. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { toHex } from '../../src/bytes/hex.ts';
import { InjectError } from '../../src/inject/errors.ts';
import { Injection } from '../../src/inject/injection.ts';
import { ADD_WINDOW, countingPatch, jump } from '../support/counting-patch.ts';
import { CANNOT_TRACE, EnteredTarget, footprint, readCounter } from '../support/entered.ts';
import { waitUntil } from '../support/targets.ts';

describe('patching a function that threads call', { skip: CANNOT_TRACE }, () => {
  for (const count of [1, 8, 64]) {
    it(`counts its calls and leaves no trace, ${count} threads`, () => {
      using entered = new EnteredTarget('sites', ['call', String(count)]);
      const before = footprint(entered.process);
      const site = entered.address('add');
      const injection = new Injection(entered.process);
      const { address } = injection.share(4096);
      const patch = countingPatch(injection, address, site);
      for (let i = 0; i < 20; i++) {
        const hits = readCounter(entered.process, address);
        injection.patch(patch);
        waitUntil('calls are counted', () => readCounter(entered.process, address) > hits);
        injection.patch({ ...patch, wanted: patch.original, moves: new Map() });
      }
      assert.equal(injection.release(), true);
      const calls = entered.counter('calls');
      waitUntil('it goes on', () => entered.counter('calls') > calls + 1000n);
      assert.equal(entered.counter('wrong'), 0n);
      assert.deepEqual(footprint(entered.process), before);
    });
  }

  it('puts everything back when it is released with its sites still changed', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    const before = footprint(entered.process);
    const site = entered.address('add');
    const injection = new Injection(entered.process);
    const patch = countingPatch(injection, injection.share(4096).address, site);
    injection.patch(patch);
    assert.equal(injection.release(), true);
    assert.deepEqual(footprint(entered.process), before);
  });

  it('changes nothing when one site of a batch is not as expected', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    const site = entered.address('add');
    const code = entered.process.memory.read(site, 16);
    using injection = new Injection(entered.process);
    const patch = countingPatch(injection, injection.share(4096).address, site);
    assert.throws(
      () =>
        injection.batch(() => {
          injection.patch(patch);
          injection.patch({ ...patch, address: entered.address('parked'), original: new Uint8Array(5) });
        }),
      (e) => e instanceof InjectError && e.code === 'INJECT_SITE_CHANGED',
    );
    assert.deepEqual(entered.process.memory.read(site, 16), code);
  });

  it('changes the sites of a batch whatever their order is', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    using injection = new Injection(entered.process);
    const { address: start } = injection.share(4096);
    const patches = [8n, 0n, 12n, 4n].map((offset) => {
      const [original, wanted] = [Uint8Array.of(0, 0), Uint8Array.of(1, 2)];
      return { address: start + offset, original, wanted, moves: new Map() };
    });
    const change = (all: typeof patches) =>
      injection.batch(() => {
        for (const patch of all) injection.patch(patch);
      });
    change(patches);
    assert.equal(toHex(entered.process.memory.read(start, 16)), '01020000'.repeat(4));
    change(patches.map((patch) => ({ ...patch, wanted: patch.original })));
    assert.deepEqual(entered.process.memory.read(start, 16), new Uint8Array(16));
  });

  it('takes the last of two patches of one site in a batch', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    const site = entered.address('add');
    using injection = new Injection(entered.process);
    const patch = countingPatch(injection, injection.share(4096).address, site);
    injection.batch(() => {
      injection.patch({ ...patch, wanted: jump(site, site) });
      injection.patch(patch);
    });
    assert.deepEqual(entered.process.memory.read(site, 5), patch.wanted);
  });

  it('leaves a site alone that someone else has changed since, and the code it leads to', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    const site = entered.address('add');
    const injection = new Injection(entered.process);
    const patch = countingPatch(injection, injection.share(4096).address, site);
    injection.patch(patch);
    const other = injection.layCode(site, () => ({ bytes: ADD_WINDOW, result: 0 })).origin;
    entered.process.memory.write(other + BigInt(ADD_WINDOW.length), jump(other + 8n, site + 8n));
    entered.process.memory.write(site, jump(site, other));
    assert.equal(injection.release(), false);
    assert.deepEqual(entered.process.memory.read(site, 5), jump(site, other));
    const calls = entered.counter('calls');
    waitUntil('it goes on', () => entered.counter('calls') > calls + 1000n);
  });

  it('does nothing to a process that has ended', () => {
    using entered = new EnteredTarget('sites', ['call', '4']);
    const site = entered.address('add');
    const injection = new Injection(entered.process);
    const patch = countingPatch(injection, injection.share(4096).address, site);
    injection.patch(patch);
    entered.target.stop();
    injection.patch({ ...patch, wanted: patch.original, moves: new Map() });
    assert.equal(injection.release(), true);
  });
});

describe('a thread inside the bytes that change', { skip: CANNOT_TRACE }, () => {
  /** `parked` spins in its first four bytes: pause (2 bytes), jmp parked (2), ret. */
  const original = Uint8Array.of(0xf3, 0x90, 0xeb, 0xfc, 0xc3);

  for (const [what, args] of [
    ['goes on in the trampoline', ['park', '8']],
    ['goes on there when its signal handler returns', ['handler', '4']],
    ['goes on there when the handler ran on another stack', ['handler', '4', 'altstack']],
  ] as const) {
    it(what, () => {
      using entered = new EnteredTarget('sites', args);
      const site = entered.address('parked');
      using injection = new Injection(entered.process);
      // The way out: ret.
      const { origin } = injection.layCode(site, () => ({ bytes: Uint8Array.of(0xc3), result: 0 }));
      const moves = new Map([[site + 2n, origin]]);
      injection.patch({ address: site, original, wanted: jump(site, origin), moves });
      entered.set('go', 1);
      waitUntil('all have returned', () => entered.counter('returned') === BigInt(args[1]));
      assert.ok(entered.target.isRunning());
    });
  }

  it('stops the change where there is no other place for it', () => {
    using entered = new EnteredTarget('sites', ['park', '8']);
    const site = entered.address('parked');
    using injection = new Injection(entered.process);
    const { origin } = injection.layCode(site, () => ({ bytes: Uint8Array.of(0xc3), result: 0 }));
    // Some thread is behind the pause sooner or later.
    const patchForEver = () => {
      for (let i = 0; i < 1000; i++) {
        injection.patch({
          address: site,
          original,
          wanted: original.map((byte, k) => (k === 4 ? 0x90 : byte)),
          moves: new Map(),
        });
        injection.patch({ address: site, original, wanted: original, moves: new Map() });
      }
    };
    assert.throws(patchForEver, (e) => e instanceof InjectError && e.code === 'INJECT_SITE_BUSY');
    assert.ok(origin > 0n);
  });

  it('makes its system call again in the trampoline', () => {
    using entered = new EnteredTarget('sites', ['blocked', '1']);
    const site = entered.address('blocked');
    const window = Uint8Array.of(0x31, 0xc0, 0x0f, 0x05, 0xc3); // xor eax, eax; syscall; ret
    using injection = new Injection(entered.process);
    const { origin } = injection.layCode(site, () => ({ bytes: window, result: 0 }));
    const moves = new Map([2n, 4n].map((offset) => [site + offset, origin + offset]));
    injection.patch({ address: site, original: window, wanted: jump(site, origin), moves });
    entered.set('go', 1);
    waitUntil('it has returned', () => entered.counter('returned') === 1n);
    assert.equal(entered.counter('wrong'), 0n);
  });
});

describe('an injection', { skip: CANNOT_TRACE }, () => {
  it('shares memory with the target, and gives every child of it cells of its own', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    using injection = new Injection(entered.process);
    const { address, thread } = injection.share(10_000);
    injection.shared.set([1, 2, 3], 9000);
    assert.deepEqual([...entered.process.memory.read(address + 9000n, 3)], [1, 2, 3]);
    entered.process.memory.write(address, Uint8Array.of(9));
    assert.equal(injection.shared[0], 9);
    assert.equal(readCounter(entered.process, injection.privateCells.processNumber), 0n);
    assert.equal(readCounter(entered.process, thread.fsBase), thread.fsBase);
    assert.ok(thread.tid >= entered.pid);
  });

  it('keeps code within reach of what it probes, and never writable', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    using injection = new Injection(entered.process);
    const places = ['threads', 'libc.so.6'].map((name) => entered.process.findModule(name).start);
    for (const near of [...places, ...places]) {
      const { origin } = injection.layCode(near, () => ({ bytes: new Uint8Array(100), result: 0 }));
      const distance = origin > near ? origin - near : near - origin;
      assert.ok(distance < 2n ** 31n, `0x${origin.toString(16)} is too far from 0x${near.toString(16)}`);
    }
    const writableCode = entered.process.mappings().filter((m) => /^.wx/.test(m.permissions));
    assert.deepEqual(writableCode, []);
  });

  it('goes on in a new region when one is full', () => {
    using entered = new EnteredTarget('threads', ['2', 'spin']);
    using injection = new Injection(entered.process);
    const near = entered.module.start;
    const lay = () => injection.layCode(near, () => ({ bytes: new Uint8Array(100_000), result: 0 })).origin;
    const origins = [lay(), lay(), lay(), lay(), lay()];
    assert.equal(new Set(origins).size, 5);
    const tooLarge = () => injection.layCode(near, () => ({ bytes: new Uint8Array(17 * 1024 * 1024), result: 0 }));
    assert.throws(tooLarge, (e) => e instanceof InjectError && e.code === 'INJECT_CODE_TOO_LARGE');
  });
});
