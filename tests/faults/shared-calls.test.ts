/** Sessions that trace the same system calls, and leave them in any order: K2. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfLink, type BpfObject, detachSessions, openObject, openProcess } from '../../src/index.ts';
import { AskedController } from '../support/asked.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { GETPPID, numbers } from '../support/tracing-calls.ts';

const DYING = join(import.meta.dirname, '..', 'support', 'dying-controller.js');
const ENTER = 'tp:syscalls/sys_enter_getppid';

const entered = (object: BpfObject): bigint => numbers(object, 'entered')[GETPPID]!;
const left = (object: BpfObject): bigint => numbers(object, 'left')[GETPPID]!;

/** Sessions with programs of syscalls.bpf.c, as long as `body` runs; the process is as before afterwards. */
function withSessions(
  scenario: string,
  programs: readonly (readonly string[])[],
  body: (target: ReturningTarget, objects: readonly BpfObject[], links: readonly (readonly BpfLink[])[]) => void,
): void {
  using target = new ReturningTarget('calling', scenario);
  target.run();
  using process = openProcess(target.pid);
  const before = footprint(process);
  const objects = programs.map(() => openObject(objectFile('syscalls'), { allow: ['override'] }));
  try {
    const links = objects.map((object, n) => programs[n]!.map((name) => object.program(name).attach(process)));
    body(target, objects, links);
  } finally {
    for (const object of objects) object[Symbol.dispose]();
  }
  target.run();
  assert.equal(target.wrong, 0n);
  assert.deepEqual(footprint(process), before);
}

describe('sessions at the same system calls', { skip: CANNOT_TRACE }, () => {
  for (const [order, first] of [
    ['that came last goes first', 1],
    ['that came first goes first', 0],
  ] as const) {
    for (const scenario of ['threads', first === 0 ? 'children' : 'signals']) {
      it(`K2: see every call: ${scenario}; the one ${order}`, () => {
        withSessions(scenario, [['on_enter'], ['on_enter']], (target, objects, links) => {
          for (const { method } of links.flat()) assert.equal(method, 'jump');
          let made = target.run();
          assert.deepEqual(objects.map(entered), [made, made]);
          links[first]![0]!.detach();
          made += target.run();
          assert.equal(entered(objects[1 - first]!), made);
        });
      });
    }

    it(`K2: see where calls end whose number is known: the one ${order}`, () => {
      const both = ['on_enter', 'on_exit'];
      withSessions('state', [both, both], (target, objects, links) => {
        const CALLS = 4001n;
        // Every other call of this scenario takes its number from memory.
        const KNOWN = 2001n;
        assert.equal(target.run(), CALLS);
        assert.deepEqual(objects.map(entered), [CALLS, CALLS]);
        assert.deepEqual(objects.map(left), [CALLS, KNOWN]);
        assert.match(links[1]![1]!.method, /of its places not reached/);
        for (const link of links[first]!) link.detach();
        target.run();
        const rest = objects[1 - first]!;
        assert.deepEqual([entered(rest), left(rest)], [2n * CALLS, 2n * (first === 1 ? CALLS : KNOWN)]);
      });
    });
  }

  it('K2: three of them, one of which goes and comes back', () => {
    withSessions('plain', [['on_enter'], ['on_enter'], ['on_enter']], (target, objects, links) => {
      using process = openProcess(target.pid);
      const calls = target.run();
      links[1]![0]!.detach();
      target.run();
      assert.deepEqual(objects.map(entered), [2n * calls, calls, 2n * calls]);
      objects[1]!.program('on_enter').attach(process);
      links[0]![0]!.detach();
      target.run();
      assert.deepEqual(objects.map(entered), [2n * calls, 2n * calls, 3n * calls]);
    });
  });

  it('K2: one in front of another that answers calls sees them all', () => {
    withSessions('answered', [['on_getppid', 'on_getppid_exit'], ['on_enter']], (target, objects) => {
      assert.equal(target.run(), 100n, 'every third is answered');
      assert.equal(entered(objects[1]!), 300n);
    });
  });

  it('K2: arguments are changed by the session that came first, and by no other', () => {
    using target = new ReturningTarget('calling', 'plain');
    using process = openProcess(target.pid);
    const before = footprint(process);
    {
      using one = openObject(objectFile('syscalls'));
      using changing = openObject(objectFile('syscall-arguments'), { allow: ['override'] });
      const place = 'tp:syscalls/sys_enter_openat';
      const first = one.program('on_enter').attachTo(process, place);
      assert.throws(
        () => changing.program('on_openat').attachTo(process, place),
        (error: Error & { why?: string }) => /the arguments of .* another session is there/.test(error.why ?? ''),
      );
      first.detach();
      const change = changing.program('on_openat').attachTo(process, place);
      const above = one.program('on_enter').attachTo(process, place);
      assert.deepEqual([change.method, above.method], ['jump', 'jump']);
    }
    assert.deepEqual(footprint(process), before);
  });

  it('K2: a function whose first instructions are in front of a call is one session’s, or the other’s', () => {
    using target = new ReturningTarget('calling', 'plain');
    target.run();
    using process = openProcess(target.pid);
    const before = footprint(process);
    {
      using one = openObject(objectFile('syscalls'));
      using other = openObject(objectFile('syscalls'));
      const probe = one.program('on_mmap').attachTo(process, 'uprobe:libc.so.6:getppid');
      const calls = other.program('on_enter').attachTo(process, ENTER);
      assert.match(calls.method, /1 of its places not reached/);
      target.run();
      assert.deepEqual([probe.hits, entered(other)], [1001n, 1000n]);
      probe.detach();
      calls.detach();
      const again = other.program('on_enter').attachTo(process, ENTER);
      assert.equal(again.method, 'jump');
      const above = one.program('on_mmap').attachTo(process, 'uprobe:libc.so.6:getppid');
      target.run();
      assert.deepEqual([above.hits, entered(other)], [1001n, 3001n]);
      again.detach();
      target.run();
      assert.deepEqual([above.hits, entered(other)], [2002n, 3001n]);
    }
    target.run();
    assert.equal(target.wrong, 0n);
    assert.deepEqual(footprint(process), before);
  });

  it('K2: threads that wait in a call are where they were when either goes', () => {
    withSessions('waiting', [['on_enter', 'on_exit'], ['on_enter']], (target, _objects, links) => {
      target.run();
      links[1]![0]!.detach();
      for (const link of links[0]!) link.detach();
    });
  });
});

describe('controllers at the same system calls', { skip: CANNOT_TRACE }, () => {
  for (const first of [0, 1]) {
    it(`K2: in processes of their own: ${first === 0 ? 'the first' : 'the last'} goes first`, async () => {
      using target = new ReturningTarget('calling', 'threads');
      target.run();
      using process = openProcess(target.pid);
      const before = footprint(process);
      const controllers = [
        await AskedController.attach(target.pid, ENTER, ['syscalls', 'on_enter']),
        await AskedController.attach(target.pid, ENTER, ['syscalls', 'on_enter']),
      ];
      const calls = target.run();
      assert.equal(await controllers[first]!.leave(), calls);
      const more = target.run();
      assert.equal(await controllers[1 - first]!.leave(), calls + more);
      assert.equal(target.wrong, 0n);
      assert.deepEqual(footprint(process), before);
    });
  }

  it('K2: killed ones below, between and above the living are taken off while calls are made', async () => {
    using target = new ReturningTarget('calling', 'threads');
    target.run();
    using process = openProcess(target.pid);
    const before = footprint(process);
    const die = (): void => {
      const args = [DYING, String(target.pid), 'raw_tp:sys_enter', 'is killed', 'syscalls', 'on_enter'];
      assert.equal(spawnSync(globalThis.process.execPath, args).signal, 'SIGKILL');
    };
    {
      using one = openObject(objectFile('syscalls'));
      using other = openObject(objectFile('syscalls'));
      die();
      const below = one.program('on_enter').attach(process);
      die();
      other.program('on_enter').attach(process);
      die();
      const calls = target.run();
      below.detach();
      assert.equal(entered(one), calls);
      target.start();
      assert.equal(detachSessions(target.pid, ({ state }) => state === 'quiet').size, 3);
      target.finish();
      target.run();
      assert.deepEqual([entered(one), entered(other)], [calls, 3n * calls]);
    }
    assert.equal(target.wrong, 0n);
    assert.deepEqual(footprint(process), before);
  });
});
