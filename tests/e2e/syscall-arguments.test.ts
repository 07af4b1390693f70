/** Programs that change the arguments of system calls, on live processes: the call is made with the new ones, and the caller keeps its own. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import {
  type BpfLink,
  type BpfObject,
  detachSessions,
  openObject,
  openProcess,
  type TargetProcess,
} from '../../src/index.ts';
import { RunningRemora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile, objectPath } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { waitUntil } from '../support/targets.ts';
import { numbers, tracing } from '../support/tracing-calls.ts';

const OBJECT = 'syscall-arguments';

/** Attaches programs of syscall-arguments.bpf.c for as long as `body` runs. */
function attached(
  target: ReturningTarget,
  programs: readonly string[],
  body: (object: BpfObject, links: readonly BpfLink[], process: TargetProcess) => void,
): void {
  tracing(target.pid, programs, body, OBJECT);
}

/** Runs a scenario of changing.c before, with and after programs that change what it asks for. */
function changing(
  scenario: string,
  programs: readonly string[],
  calls: bigint,
  check?: (object: BpfObject) => void,
): void {
  using target = new ReturningTarget('changing', scenario);
  assert.equal(target.run(), 0n, 'nothing is changed before');
  attached(target, programs, (object, links) => {
    assert.equal(target.run(), calls);
    assert.equal(target.wrong, 0n);
    for (const { missed, method } of links) assert.deepEqual([missed, method], [0n, 'jump']);
    check?.(object);
  });
  assert.equal(target.run(), 0n, 'nor behind');
  assert.equal(target.wrong, 0n);
}

describe('a program that changes arguments', { skip: CANNOT_TRACE }, () => {
  for (const [what, scenario, program, calls] of [
    ['has another file opened', 'paths', 'on_openat', 300n],
    ['has another file opened, in two threads', 'threads', 'on_openat', 600n],
    ['has less written', 'lengths', 'on_write', 50n],
    ['at every call has less written', 'lengths', 'on_every', 50n],
    ['changes all six', 'all', 'on_mmap', 2n],
    ['has another program begun', 'programs', 'on_execve', 15n],
    ['has a process end otherwise', 'programs', 'on_exit_group', 5n],
    ['is there when a handler does not come back to the call', 'interrupted', 'on_read', 1n],
  ] as const) {
    it(`${what}: ${scenario}, ${program}`, () => changing(scenario, [program], calls));
  }

  for (const exits of [['on_exit'], ['on_openat_return'], ['on_openat_return', 'on_exit']] as const) {
    it(`has those at the exit see the registers of the caller: ${exits.join(' and ')}`, () => {
      changing('paths', ['on_openat', ...exits], 300n, (object) => {
        const seen = numbers(object, 'seen');
        const isThere = (program: string): bigint => BigInt((exits as readonly string[]).includes(program));
        assert.deepEqual(seen.slice(5, 8), [
          500n * isThere('on_exit'),
          300n * isThere('on_openat_return'),
          200n * isThere('on_openat_return'),
        ]);
      });
    });
  }

  for (const programs of [
    ['on_getppid'],
    ['on_getppid', 'on_getppid_behind'],
    ['on_getppid', 'on_getppid_behind', 'on_getppid_return', 'on_exit'],
  ]) {
    it(`E8: leaves registers, flags and red zone as they were, and those behind it see what it did: ${programs.join(', ')}`, () => {
      using target = new ReturningTarget('calling', 'state');
      attached(target, programs, (object) => {
        const calls = target.run();
        const [made, changed, atReturn] = numbers(object, 'seen');
        assert.equal(made, calls);
        assert.equal(changed, programs.length > 1 ? calls / 2n : 0n);
        assert.equal(atReturn, 0n);
      });
      target.run();
      assert.equal(target.wrong, 0n);
    });
  }

  it('may answer the call as well, which then has the registers of the caller', () => {
    using target = new ReturningTarget('calling', 'answered');
    attached(target, ['on_getppid_answer', 'on_getppid_return'], (_object, [link]) => {
      target.run();
      assert.equal(link!.hits, 300n);
    });
    assert.equal(target.wrong, 0n);
  });

  for (const scenario of ['children', 'signals'] as const) {
    it(`changes nothing of calls that would not find back, at every call: ${scenario}`, () => {
      using target = new ReturningTarget('calling', scenario);
      attached(target, ['on_every', 'on_exit'], (object) => {
        target.run();
        assert.ok(numbers(object, 'seen')[4]! > 20n, 'it tried to');
      });
      target.run();
      assert.equal(target.wrong, 0n);
    });
  }

  for (const [why, program, allow, message] of [
    [
      'of a call that returns twice',
      'on_clone',
      ['override'],
      /its arguments cannot be changed: clone: it returns twice/,
    ],
    ['without permission', 'on_write', [], /invalid bpf_context access|override was not allowed/],
  ] as const) {
    it(`is refused ${why}`, () => {
      using target = new ReturningTarget('changing', 'lengths');
      using process = openProcess(target.pid);
      assert.throws(
        () => {
          using object = openObject(objectFile(OBJECT), { allow });
          object.program(program).attach(process);
        },
        (error: Error & { why?: string }) => message.test(`${error.message} ${error.why}`),
      );
      assert.equal(target.run(), 0n);
      assert.equal(target.wrong, 0n);
    });
  }
});

/** Has two threads wait in calls with changed arguments, as the kernel says. */
function haveWait(target: ReturningTarget): void {
  target.run();
  const tasks = `/proc/${target.pid}/task`;
  const isChanged = (tid: string): boolean => {
    const [number, , , size] = readFileSync(`${tasks}/${tid}/syscall`, 'latin1').split(' ');
    return number === '0' && size === '0x1';
  };
  waitUntil('both wait', () => readdirSync(tasks).filter(isChanged).length === 2, 20_000);
}

describe('threads that wait in calls with changed arguments', { skip: CANNOT_TRACE }, () => {
  it('are begun anew with them when a signal or other programs come meanwhile', () => {
    using target = new ReturningTarget('changing', 'waiting');
    attached(target, ['on_read'], (object, _links, process) => {
      haveWait(target);
      for (let n = 0; n < 5; n++) object.program('on_every').attach(process).detach();
      assert.equal(target.run(), 2n);
    });
    assert.equal(target.wrong, 0n);
  });

  it('F8: go on with them when we are gone, and have their own registers behind', () => {
    using target = new ReturningTarget('changing', 'waiting');
    const before = codeHashes(target.pid);
    {
      using process = openProcess(target.pid);
      using object = openObject(objectFile(OBJECT), { allow: ['override'] });
      for (const program of ['on_read', 'on_exit']) object.program(program).attach(process);
      haveWait(target);
    }
    // What they still need of ours stays there.
    const after = codeHashes(target.pid);
    for (const [mapping, hash] of Object.entries(before)) assert.equal(after[mapping], hash, mapping);
    assert.equal(target.run(), 2n);
    target.run();
    assert.equal(target.run(), 0n, 'the next calls are as they were asked for');
    assert.equal(target.wrong, 0n);
  });

  it('F8: go on with them when the controller was killed, and what they need stays until they have left', async () => {
    using target = new ReturningTarget('changing', 'waiting');
    const before = codeHashes(target.pid);
    const places = ['--allow', 'override', '--attach', 'on_clone=ksyscall:getppid'];
    const running = new RunningRemora(['load', objectPath(OBJECT), '-p', `${target.pid}`, ...places, '--json']);
    await running.says(/"attached"/);
    haveWait(target);
    await running.end('SIGKILL');
    const takeOff = () => [...detachSessions(target.pid, () => true).values()].map(({ memory }) => memory);
    assert.deepEqual(takeOff(), ['in use']);
    assert.equal(target.run(), 2n);
    assert.deepEqual(takeOff(), ['released']);
    assert.deepEqual(codeHashes(target.pid), before);
    target.run();
    assert.equal(target.run(), 0n, 'the next calls are as they were asked for');
    assert.equal(target.wrong, 0n);
  });

  it('wait as long as they were told to while programs come and go', () => {
    using target = new ReturningTarget('changing', 'timeouts');
    attached(target, ['on_poll'], (object, _links, process) => {
      const before = target.calls;
      target.start();
      while (!target.isDone) object.program('on_every').attach(process).detach();
      assert.equal(target.calls - before, 2n);
    });
    assert.equal(target.wrong, 0n);
  });
});
