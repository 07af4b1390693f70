/**
 * A controller killed with SIGKILL at its n-th call to the operating system while it attaches, updates and detaches: the target
 * goes on in order, and the next command restores it byte for byte, mappings included; or stopped there with SIGSTOP. Calls are
 * taken evenly from all there are; SWEEP=all takes every one, SWEEP=N so many.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { detachSessions, openObject } from '../../src/index.ts';
import { openProcess, type TargetProcess } from '../../src/process/target-process.ts';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

const SUPPORT = join(import.meta.dirname, '..', 'support');
const PRELOAD = join(SUPPORT, 'kill-at-call.js');
const CONTROLLER = join(SUPPORT, 'session-controller.js');

/** How many calls each target's controller is killed at, without SWEEP=all. */
const POINTS = 9;

/** How many it is stopped at. */
const STOP_POINTS = 3;

function pointsOf(total: number, usual: number): number {
  const { SWEEP } = process.env;
  return SWEEP === 'all' ? total : Math.min(total, Number(SWEEP ?? usual));
}

/** A target under way, and how it shows that it works. */
interface Subject extends Disposable {
  readonly process: TargetProcess;
  readonly places: readonly string[];
  /** Fails if the target is not in order. */
  check(): void;
}

const SUBJECTS: Readonly<Record<string, () => Subject>> = {
  'whose threads wait to be told what to do': () => {
    const calls = new CallsTarget(2);
    const process = openProcess(calls.pid);
    return {
      process,
      places: ['uprobe:calls:work', 'uretprobe:calls:work', 'uprobe:calls:work_keyed'],
      check() {
        calls.call(100);
        assert.equal(calls.wrong, 0n);
      },
      [Symbol.dispose]() {
        process[Symbol.dispose]();
        calls[Symbol.dispose]();
      },
    };
  },
  'whose threads call what is probed without end': () => {
    const entered = new EnteredTarget('sites', ['call', '3']);
    return {
      process: entered.process,
      places: ['uprobe:sites:add', 'uretprobe:sites:add', 'uprobe:sites:add'],
      check() {
        const before = entered.counter('calls');
        waitUntil('it calls', () => entered.counter('calls') > before || !entered.target.isRunning());
        assert.equal(entered.counter('wrong'), 0n);
      },
      [Symbol.dispose]: () => entered[Symbol.dispose](),
    };
  },
  'where another session is already': () => {
    const calls = new CallsTarget(2);
    const process = openProcess(calls.pid);
    const object = openObject(objectFile('count'));
    const links = ['work', 'work_keyed', 'work_brief'].map((name) =>
      object.program('on_call').attachUprobe(process, `calls:${name}`),
    );
    links.push(object.program('on_call').attachUretprobe(process, 'calls:work'));
    for (const call of ['enter_clock_nanosleep', 'exit_clock_nanosleep']) {
      object.program('on_call').attachTo(process, `tp:syscalls/sys_${call}`);
    }
    let made = 0n;
    return {
      process,
      places: [
        'uprobe:calls:work',
        'uprobe:calls:work_brief',
        'tp:syscalls/sys_enter_clock_nanosleep',
        'uretprobe:calls:work',
        'tp:syscalls/sys_exit_clock_nanosleep',
      ],
      check() {
        calls.call(50);
        made += 100n;
        assert.equal(calls.wrong, 0n);
        for (const { hits, missed } of links) assert.deepEqual([hits, missed], [made, 0n]);
      },
      [Symbol.dispose]() {
        object[Symbol.dispose]();
        process[Symbol.dispose]();
        calls[Symbol.dispose]();
      },
    };
  },
  'that sleeps in a function whose return is probed': () => {
    const entered = new EnteredTarget('sleeper', ['nanosleep']);
    return {
      process: entered.process,
      places: ['uretprobe:libc:clock_nanosleep', 'uprobe:libc:clock_nanosleep'],
      check() {
        const before = entered.counter('waits');
        waitUntil('it wakes', () => entered.counter('waits') > before || !entered.target.isRunning());
        for (const fault of ['spurious', 'too_short']) assert.equal(entered.counter(fault), 0n, fault);
      },
      [Symbol.dispose]: () => entered[Symbol.dispose](),
    };
  },
};

/** Runs a controller; its number of calls if it came to its end, undefined if it was killed. */
function control(pid: number, killAt: number, places: readonly string[]): number | undefined {
  const args = ['--import', PRELOAD, CONTROLLER, String(pid), ...places];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, KILL_AT: String(killAt) } });
  if (run.signal === 'SIGKILL') return undefined;
  assert.equal(run.status, 0, run.stderr);
  return Number(run.stdout);
}

function assertNoneStopped(pid: number): void {
  for (const tid of readThreadIds(pid)) {
    assert.equal(readStatus(tid).tracer, 0);
    assert.ok(!'tTZX'.includes(stateOf(tid) ?? 'X'), `thread ${tid} is ${stateOf(tid)}`);
  }
}

describe('F1: a controller killed while it attaches, updates and detaches', { skip: CANNOT_TRACE }, () => {
  for (const [what, start] of Object.entries(SUBJECTS)) {
    it(`leaves a target ${what} to be restored byte for byte`, (t) => {
      using subject = start();
      const { pid } = subject.process;
      const before = footprint(subject.process);
      const total = control(pid, 0, subject.places)!;
      assert.deepEqual(footprint(subject.process), before, 'an undisturbed session leaves nothing');
      const points = pointsOf(total, POINTS);
      let [killed, found] = [0, 0];
      for (let point = 0; point < points; point++) {
        const at = 1 + Math.floor((point * total) / points);
        if (control(pid, at, subject.places) === undefined) killed++;
        assertNoneStopped(pid);
        subject.check();
        // A thread may wait a moment in the stub of a call for the controller that died.
        let left: unknown;
        waitUntil(
          `it is as before, killed at ${at} of ${total}`,
          () => {
            found += detachSessions(pid, ({ state }) => state !== 'live').size;
            left = footprint(subject.process);
            return JSON.stringify(left) === JSON.stringify(before);
          },
          15_000,
          () => assert.deepEqual(left, before),
        );
        subject.check();
      }
      t.diagnostic(`killed at ${killed} of ${total} calls; ${found} sessions were taken off`);
      assert.ok(found > 0);
    });
  }
});

/** Runs a controller that is stopped at a call; the result is called to see it to its end. */
function stopAt(pid: number, at: number, places: readonly string[]): { readonly pid: number; end(): Promise<void> } {
  const env = { ...process.env, KILL_AT: String(at), KILL_WITH: 'SIGSTOP' };
  const args = ['--import', PRELOAD, CONTROLLER, String(pid), ...places];
  const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (text) => {
    said += text;
  });
  const closed = once(child, 'close');
  return {
    pid: child.pid!,
    async end() {
      child.kill('SIGCONT');
      assert.deepEqual(await closed, [0, null], said);
    },
  };
}

describe('F3: a controller stopped while it attaches, updates and detaches', { skip: CANNOT_TRACE }, () => {
  for (const [what, start] of Object.entries(SUBJECTS)) {
    it(`F3: holds up no thread of a target ${what} for long`, async (t) => {
      using subject = start();
      const { pid } = subject.process;
      const before = footprint(subject.process);
      const total = control(pid, 0, subject.places)!;
      const points = pointsOf(total, STOP_POINTS);
      let longest = 0;
      for (let point = 0; point < points; point++) {
        const controller = stopAt(pid, 1 + Math.floor((point * total) / points), subject.places);
        await until(() => ['T', 'Z', undefined].includes(stateOf(controller.pid)));
        const from = performance.now();
        subject.check();
        longest = Math.max(longest, performance.now() - from);
        await controller.end();
        assertNoneStopped(pid);
        assert.deepEqual(footprint(subject.process), before);
      }
      subject.check();
      t.diagnostic(`stopped at ${points} of ${total} calls; the target went on within ${Math.round(longest)} ms`);
    });
  }
});

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}
