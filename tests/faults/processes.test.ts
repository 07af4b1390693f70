/** Processes that come and go while programs are attached to them: many at a time, forks, replaced programs. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { BpfError, detachCopies, openObject, openProcess } from '../../src/index.ts';
import { readMaps } from '../../src/sys/proc-maps.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE, EnteredTarget, footprint, readCounter } from '../support/entered.ts';
import { followUntil } from '../support/followed.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';

describe('one controller and many processes', { skip: CANNOT_TRACE }, () => {
  it('K5: what all of them call is counted, in maps that they share, and each is left as it was', () => {
    const count = repetitions(20, 100);
    const targets = Array.from({ length: count }, () => new CallsTarget(1));
    const entered = targets.map(({ pid }) => openProcess(pid));
    const before = entered.map(footprint);
    const object = openObject(objectFile('count'));
    const links = entered.map((target) => object.program('on_call').attachUprobe(target, 'calls:work'));
    for (const target of targets) target.call(1000);
    for (const { hits } of links) assert.equal(hits, 1000n);
    object[Symbol.dispose]();
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 1000 * count }]);
    assert.deepEqual(entered.map(footprint), before);
    for (const target of entered) target[Symbol.dispose]();
    for (const target of targets) {
      target.call(10);
      assert.equal(target.wrong, 0n);
      target[Symbol.dispose]();
    }
  });
});

describe('a target that makes children', { skip: CANNOT_TRACE }, () => {
  it('D1: forks without a pause: what its children call is counted to the last', () => {
    const forks = repetitions(2000, 100_000);
    using entered = new EnteredTarget('forking', ['fork']);
    const before = footprint(entered.process);
    entered.set('count', forks);
    const object = openObject(objectFile('count'));
    const link = object.program('on_call').attachUprobe(entered.process, 'forking:work');
    entered.set('go', 1);
    waitUntil('all children are done', () => entered.counter('done') === 1n, 300_000);
    assert.equal(entered.counter('wrong'), 0n);
    assert.equal(entered.counter('calls'), BigInt(3 * forks));
    assert.equal(link.hits, BigInt(3 * forks));
    object[Symbol.dispose]();
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 3 * forks }]);
    assert.deepEqual(footprint(entered.process), before);
  });

  it('D1: forks while probes come and go: no child comes to harm', () => {
    using entered = new EnteredTarget('forking', ['fork']);
    const before = footprint(entered.process);
    entered.set('count', repetitions(1000, 50_000));
    entered.set('go', 1);
    for (let rounds = 0; rounds < 10 || entered.counter('done') === 0n; rounds++) {
      using object = openObject(objectFile('count'));
      object.program('on_call').attachUprobe(entered.process, 'forking:work');
    }
    assert.equal(entered.counter('wrong'), 0n);
    assert.deepEqual(footprint(entered.process), before);
  });

  for (const isFirst of ['dies', 'lives'] as const) {
    it(`D1: a child that stays is put back too, when its parent ${isFirst} first`, () => {
      using entered = new EnteredTarget('forking', ['stay', 'alone']);
      const before = footprint(entered.process);
      const object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(entered.process, 'forking:work');
      entered.set('go', 1);
      waitUntil('its child is counted', () => link.hits > 1000n);
      const pid = Number(entered.counter('child'));
      using child = openProcess(pid);
      try {
        if (isFirst === 'dies') entered.target.stop();
        const { hits } = link;
        waitUntil('its child is counted still', () => link.hits > hits + 1000n);
        object[Symbol.dispose]();
        const copies = detachCopies(object.sessionIds);
        assert.deepEqual(copies.get(pid), [{ restored: 1, foreign: [], memory: 'released' }]);
        assert.equal(footprint(child).code, before.code);
        assert.ok(!readMaps(pid).some(({ path }) => path === '/memfd:remora'));
        const calls = readCounter(child, entered.address('calls'));
        waitUntil('it works on', () => readCounter(child, entered.address('calls')) > calls + 1000n);
        assert.equal(readCounter(child, entered.address('wrong')), 0n);
      } finally {
        process.kill(pid, 'SIGKILL');
      }
    });
  }

  for (const how of ['vfork', 'spawn'] as const) {
    it(`D2: begins programs by ${how}: each is entered before it begins, and the stack of its parent is as it was`, () => {
      const programs = 5;
      using entered = new EnteredTarget('forking', [how]);
      const before = footprint(entered.process);
      const object = openObject(objectFile('count'));
      object.program('on_call').attachUprobe(entered.process, 'forking:work');
      entered.set('count', programs);
      const { entered: seen, lost } = followUntil(
        object,
        new Map([['on_call', 'uprobe:forking:work']]),
        () => entered.set('go', 1),
        () => entered.counter('done') === 1n,
      );
      assert.deepEqual(lost, []);
      assert.equal(seen.length, programs);
      assert.equal(entered.counter('wrong'), 0n);
      object[Symbol.dispose]();
      assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: 3 * programs }]);
      assert.deepEqual(footprint(entered.process), before);
    });
  }

  it('D2: is not followed: it begins programs that are not touched', () => {
    const programs = 20;
    using entered = new EnteredTarget('forking', ['spawn']);
    const object = openObject(objectFile('count'));
    const link = object.program('on_call').attachUprobe(entered.process, 'forking:work');
    entered.set('count', programs);
    entered.set('go', 1);
    waitUntil('all programs are done', () => entered.counter('done') === 1n, 60_000);
    assert.deepEqual([entered.counter('wrong'), link.hits], [0n, 0n]);
    object[Symbol.dispose]();
  });
});

describe('a target that replaces its program all the time', { skip: CANNOT_TRACE }, () => {
  it('D3: by a thread that is not its first, while it is being attached to: what fails says so, and leaves nothing', () => {
    using target = startTarget(compileTarget('exec'), ['storm', '3000']);
    const rounds = repetitions(20, 1000);
    let [attached, refused] = [0, 0];
    for (let round = 0; round < rounds; round++) {
      try {
        using entered = openProcess(target.pid);
        using object = openObject(objectFile('count'));
        object.program('on_call').attachUprobe(entered, 'libc.so.6:execve');
        attached++;
      } catch (error) {
        assert.ok(error instanceof BpfError, `${error}`);
        assert.match(error.code, /^(PROCESS|SYS|INJECT|ATTACH)_/);
        refused++;
      }
      // While it is being replaced it may look as if it were not there.
      waitUntil('it is there', () => target.isRunning());
    }
    // What was attached may be refused when it is taken off: the program is being replaced at that very moment.
    assert.ok(attached + refused >= rounds);
    using fresh = startTarget(compileTarget('exec'), ['storm', '3000']);
    waitUntil('it has the code of a fresh one', () => {
      const [code, wanted] = [target, fresh].map(({ pid }) => codeOf(pid));
      return code !== undefined && `${code}` === `${wanted}`;
    });
  });

  it('D3: by a thread that is not its first, while it is followed: each program is entered', () => {
    const programs = 4;
    using entered = new EnteredTarget('exec', ['series', `${programs}`]);
    const object = openObject(objectFile('count'));
    object.program('on_call').attachUprobe(entered.process, 'libc.so.6:execl');
    const seen = followUntil(
      object,
      new Map([['on_call', 'uprobe:libc.so.6:execl']]),
      () => entered.set('go', 1),
      ({ entered: pids }) => pids.length >= programs,
    );
    object[Symbol.dispose]();
    assert.deepEqual(seen, { entered: Array.from({ length: programs }, () => entered.pid), lost: [] });
    assert.deepEqual(object.map('counts').entries(), [{ key: 0, value: programs }]);
    assert.ok(entered.target.isRunning());
  });
});

/** Of each executable mapping but the kernel's own; undefined while the process is being replaced. */
function codeOf(pid: number): readonly string[] | undefined {
  try {
    const hashes = Object.entries(codeHashes(pid)).flatMap(([name, hash]) => (name.includes('[vdso]') ? [] : [hash]));
    return hashes.length > 0 ? hashes : undefined;
  } catch (error) {
    assert.match(`${error}`, /ESRCH|ENOENT|EIO/);
    return undefined;
  }
}
