/** Controllers that die, meet each other, or meet a process that is not as they left it. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { BpfError, detachSessions, openObject, openProcess, ProcessSessions } from '../../src/index.ts';
import { JOURNAL_SIZE, JournalHeader, SITES_OFFSET } from '../../src/inject/journal.ts';
import { readMaps } from '../../src/sys/proc-maps.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { openMemoryFiles } from '../support/open-files.ts';
import { OverriddenTarget } from '../support/overridden-target.ts';
import { waitUntil } from '../support/targets.ts';

const SUPPORT = join(import.meta.dirname, '..', 'support');
const DYING = join(SUPPORT, 'dying-controller.js');
const STOPPED = join(SUPPORT, 'stopped-controller.js');
const SHORT = join(SUPPORT, 'session-controller.js');

/** Starts a controller that attaches to `place` and dies. */
function dieAttached(pid: number, place: string, how = 'is killed', program: readonly string[] = []): void {
  const run = spawnSync(process.execPath, [DYING, String(pid), place, how, ...program], { encoding: 'utf8' });
  assert.ok(run.signal === 'SIGKILL' || how !== 'is killed', run.stderr);
}

const sessionsOf = (pid: number) => {
  using found = new ProcessSessions(pid);
  return found.sessions.map(({ state, session }) => ({ state, hits: session?.links.map(({ hits }) => hits) }));
};

describe('a controller that dies', { skip: CANNOT_TRACE }, () => {
  for (const how of ['throws', 'exits']) {
    it(`F9: leaves a session that can be taken off: it ${how}`, () => {
      using calls = new CallsTarget(2);
      using target = openProcess(calls.pid);
      const before = footprint(target);
      dieAttached(calls.pid, 'uprobe:calls:work', how);
      calls.call(10);
      assert.deepEqual(sessionsOf(calls.pid), [{ state: 'quiet', hits: [0n] }]);
      assert.equal(detachSessions(calls.pid, () => true).size, 1);
      assert.deepEqual(footprint(target), before);
    });
  }

  it('F5: leaves a place that the next one can probe, before it is cleaned and after', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = codeHashes(calls.pid);
    dieAttached(calls.pid, 'uprobe:calls:work');
    {
      using object = openObject(objectFile('count'));
      const attach = () => object.program('on_call').attachUprobe(target, 'calls:work');
      const link = attach();
      calls.call(50);
      assert.equal(detachSessions(calls.pid, ({ state }) => state === 'quiet').size, 1);
      calls.call(50);
      link.detach();
      const again = attach();
      calls.call(50);
      assert.deepEqual([link.hits, again.hits], [200n, 100n]);
    }
    assert.deepEqual(codeHashes(calls.pid), before);
    assert.equal(calls.wrong, 0n);
  });

  for (const [what, place, program] of [
    ['overridden', 'uprobe.override:overridden:combine', 'on_override'],
    ['replaced', 'uprobe.replace:overridden:combine', 'on_replace'],
  ] as const) {
    it(`F5: leaves a function that was ${what} as it was before`, () => {
      using target = new OverriddenTarget();
      dieAttached(target.pid, place, 'is killed', ['function-calls', program]);
      const calls = target.calls;
      assert.equal(target.call(0xabcen, 5n), (0xabcen << 32n) | 5n);
      assert.equal(target.calls, calls + 1n);
      assert.equal(detachSessions(target.pid, () => true).size, 1);
      assert.equal(target.call(0xabcen, 5n), (0xabcen << 32n) | 5n);
      assert.equal(target.wrong, 0n);
    });
  }

  it('F6: leaves a session that another version does not touch', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    dieAttached(calls.pid, 'uprobe:calls:work');
    const journal = readMaps(calls.pid).find(
      ({ path, permissions }) => path === '/memfd:remora' && permissions === 'rw-s',
    )!;
    const version = journal.start + BigInt(JournalHeader.offsetOf.version);
    const known = target.memory.read(version, 4);
    target.memory.write(version, Uint8Array.of(0xff, 0, 0, 0));
    using found = new ProcessSessions(calls.pid);
    assert.deepEqual(found.sessions, []);
    assert.match(found.problems[0]!.message, /it is of version 255/);
    assert.equal(detachSessions(calls.pid, () => true).size, 0);
    const detached = await remora(['detach', '--all', '-p', String(calls.pid)]);
    assert.deepEqual([detached.code, detached.stdout], [5, '']);
    assert.match(detached.stderr, /^error: .* of version 255.*\nfix: .*the version of remora that began it\n$/);
    const listed = await remora(['ps', '-p', String(calls.pid)]);
    assert.deepEqual([listed.code, listed.stdout], [0, '']);
    assert.match(listed.stderr, /^note: process \d+: .* of version 255[^\n]*\n$/);
    calls.call(10);
    target.memory.write(version, known);
    assert.equal(detachSessions(calls.pid, () => true).size, 1);
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });

  it('D1: leaves children, which are quiet and are taken off one by one', () => {
    using entered = new EnteredTarget('forker');
    const before = footprint(entered.process);
    {
      using object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(entered.process, 'forker:work');
      entered.set('go', 1);
      waitUntil('it has forked', () => entered.counter('child') !== 0n);
      const hits = link.hits;
      waitUntil('both are counted', () => link.hits > hits + 1000n);
    }
    const pid = Number(entered.counter('child'));
    using child = openProcess(pid);
    assert.deepEqual(footprint(entered.process).mappings, before.mappings);
    assert.equal(footprint(entered.process).code, before.code);
    assert.equal(sessionsOf(pid)[0]?.state, 'quiet');
    const [outcome] = detachSessions(pid, () => true).values();
    assert.deepEqual(outcome, { restored: 1, foreign: [], memory: 'released' });
    assert.equal(footprint(child).code, before.code);
    assert.ok(!readMaps(pid).some(({ path }) => path === '/memfd:remora'));
    for (const one of [entered.process, child]) {
      const calls = (): bigint =>
        new DataView(one.memory.read(entered.address('calls'), 8).buffer).getBigUint64(0, true);
      const made = calls();
      waitUntil('it works on', () => calls() > made + 1000n);
      assert.equal(new DataView(one.memory.read(entered.address('wrong'), 8).buffer).getBigUint64(0, true), 0n);
    }
  });
});

describe('a controller that is stopped', { skip: CANNOT_TRACE }, () => {
  it('F3: while it holds the target’s threads: it is made to go on, and they are let go within two seconds', async () => {
    using entered = new EnteredTarget('sites', ['call', '2']);
    const controller = spawn(process.execPath, [STOPPED, `${entered.pid}`], { stdio: ['ignore', 'pipe', 'inherit'] });
    const [said] = await once(controller.stdout, 'data');
    assert.match(String(said), /holding/);
    const from = performance.now();
    const calls = entered.counter('calls');
    waitUntil('the target works', () => entered.counter('calls') > calls + 1000n, 2000);
    const took = performance.now() - from;
    assert.ok(took < 2000, `${took} ms`);
    const [code] = await once(controller, 'exit');
    assert.equal(code, 0);
    assert.equal(entered.counter('wrong'), 0n);
  });
});

describe('controllers that meet', { skip: CANNOT_TRACE }, () => {
  it('K1: attach and detach at the same time, or say that another is at work', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    calls.start();
    for (let round = 0; round < 2; round++) {
      const controllers = ['work', 'work', 'work_push'].map((name) =>
        spawn(process.execPath, [SHORT, `${calls.pid}`, `uprobe:calls:${name}`], {
          stdio: ['ignore', 'ignore', 'pipe'],
        }),
      );
      await Promise.all(
        controllers.map(async (controller) => {
          let said = '';
          controller.stderr.on('data', (text) => {
            said += text;
          });
          const [code] = await once(controller, 'close');
          if (code !== 0) assert.match(said, /PROCESS_BUSY|PROCESS_TRACED/);
        }),
      );
      detachSessions(calls.pid, () => true);
    }
    calls.stop();
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });

  it('K4: one is dead and cleaned away while the other works on', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    dieAttached(calls.pid, 'uprobe:calls:work');
    {
      using object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(target, 'calls:work_push');
      calls.call(50);
      assert.equal(detachSessions(calls.pid, ({ state }) => state === 'quiet').size, 1);
      calls.call(50);
      assert.equal(link.hits, 200n);
    }
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });
});

describe('a target that means harm', { skip: CANNOT_TRACE }, () => {
  it('L2: shares memory that nobody else can open: no name, no descriptor', () => {
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('count'));
    object.program('on_call').attachUprobe(target, 'calls:work');
    for (const pid of [calls.pid, process.pid]) {
      assert.deepEqual(openMemoryFiles(pid), []);
    }
    const { start, end } = readMaps(calls.pid).find(({ path }) => path === '/memfd:remora')!;
    const fd = openSync(`/proc/${calls.pid}/map_files/${start.toString(16)}-${end.toString(16)}`, 'r');
    assert.equal(fstatSync(fd).nlink, 0);
    closeSync(fd);
  });

  it('L8: has a journal that says anything: it is refused, or does no harm but to the target', () => {
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    dieAttached(calls.pid, 'uprobe:calls:work');
    const { start } = readMaps(calls.pid).find(
      ({ path, permissions }) => path === '/memfd:remora' && permissions === 'rw-s',
    )!;
    const places = [JournalHeader.size + 64, SITES_OFFSET, JOURNAL_SIZE];
    const sizes = [JournalHeader.size + 64, 64, 512];
    let seed = 1;
    const random = (below: number): number => {
      seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
      return seed % below;
    };
    const VALUES = [0n, 1n, 0x7fff_ffffn, 0xffff_ffffn, 2n ** 63n, 2n ** 64n - 1n, start, start + 8n];
    for (let n = 0; n < 400; n++) {
      const which = random(3);
      const base = which === 0 ? start : start + BigInt(places[which]!);
      const at = base + BigInt(8 * random(sizes[which]! / 8));
      const original = target.memory.read(at, 8);
      target.memory.write(at, new Uint8Array(BigUint64Array.of(VALUES[random(VALUES.length)]!).buffer));
      try {
        using found = new ProcessSessions(calls.pid);
        for (const { session } of found.sessions) {
          void session?.links;
          for (const name of session?.mapNames ?? []) session?.map(name)?.entries();
        }
      } catch (error) {
        assert.ok(error instanceof BpfError, String(error));
      }
      target.memory.write(at, original);
    }
    assert.equal(detachSessions(calls.pid, () => true).size, 1);
    assert.deepEqual(footprint(target), before);
  });

  it('L12: never has memory that is writable and executable, whenever one looks', async () => {
    using calls = new CallsTarget(2);
    calls.start();
    const places = ['uprobe:calls:work', 'uretprobe:calls:work_push', 'uprobe:libc:malloc'];
    const controller = spawn(process.execPath, [SHORT, `${calls.pid}`, ...places], { stdio: 'inherit' });
    const ended = once(controller, 'exit');
    let [looks, isRunning] = [0, true];
    void ended.then(() => {
      isRunning = false;
    });
    while (isRunning) {
      for (let n = 0; n < 20; n++, looks++) {
        const both = readMaps(calls.pid).filter(({ permissions }) => /wx/.test(permissions));
        assert.deepEqual(both, []);
      }
      await new Promise((resolve) => setImmediate(resolve));
    }
    assert.equal((await ended)[0], 0);
    assert.ok(looks >= 100, `looked only ${looks} times`);
    calls.stop();
  });
});

describe('a target that has no room', { skip: CANNOT_TRACE }, () => {
  it('J3: is refused at its limit of address space, and nothing is left there', () => {
    using calls = new CallsTarget(1);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    const limited = spawnSync('prlimit', ['--pid', `${calls.pid}`, '--as=1048576:unlimited'], { encoding: 'utf8' });
    assert.equal(limited.status, 0, limited.stderr);
    using object = openObject(objectFile('count'));
    assert.throws(
      () => object.program('on_call').attachUprobe(target, 'calls:work'),
      (e) => e instanceof BpfError && /ENOMEM/.test(`${e.message} ${e.why} ${e.cause}`),
    );
    assert.deepEqual(footprint(target), before);
    calls.call(10);
    assert.equal(calls.wrong, 0n);
  });
});
