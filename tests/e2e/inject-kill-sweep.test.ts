/**
 * A controller killed with SIGKILL at its n-th call to the operating system: the target goes on, in order, and the next controller
 * can enter it. Calls are taken evenly from all there are; SWEEP=all takes every one.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { ADD_WINDOW } from '../support/counting-patch.ts';
import { CANNOT_TRACE, EnteredTarget } from '../support/entered.ts';
import { openMemoryFiles } from '../support/open-files.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

const SUPPORT = join(import.meta.dirname, '..', 'support');
const PRELOAD = join(SUPPORT, 'kill-at-call.js');
const CONTROLLER = join(SUPPORT, 'short-controller.js');

interface Sweep {
  readonly what: string;
  readonly target: string;
  readonly args: readonly string[];
  /** The function that is patched. */
  readonly patched?: string;
  /** Counts up while the target works. */
  readonly progress: string;
  /** Stay 0 while it works rightly. */
  readonly faults: readonly string[];
  /** How many calls it is killed at. */
  readonly points: number;
  /** A signal comes while the thread works for us: it takes it where it was, and who is killed right then leaves a file open. */
  readonly mayLeaveFile?: true;
}

const SWEEPS: readonly Sweep[] = [
  {
    what: 'threads that call the function being patched',
    target: 'sites',
    args: ['call', '3'],
    patched: 'add',
    progress: 'calls',
    faults: ['wrong'],
    points: 72,
  },
  {
    what: 'a thread that checks its registers, under a timer signal',
    target: 'threads',
    args: ['1', 'signal'],
    progress: 'rounds',
    faults: ['damaged'],
    points: 30,
    mayLeaveFile: true,
  },
  {
    what: 'a thread that sleeps',
    target: 'sleeper',
    args: ['nanosleep'],
    progress: 'waits',
    faults: ['spurious', 'too_short'],
    points: 30,
  },
  {
    what: 'a thread that waits for events',
    target: 'sleeper',
    args: ['epoll_wait'],
    progress: 'waits',
    // An EINTR is what it gets from a stop that we do not live to mend.
    faults: ['too_short'],
    points: 30,
  },
];

/** Runs a controller; its number of calls if it came to its end, undefined if it was killed. */
function control(pid: number, killAt: number, patched: string | undefined): number | undefined {
  const args = ['--import', PRELOAD, CONTROLLER, String(pid), ...(patched === undefined ? [] : [patched])];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', env: { ...process.env, KILL_AT: String(killAt) } });
  if (run.signal === 'SIGKILL') return undefined;
  assert.equal(run.status, 0, run.stderr);
  return Number(run.stdout);
}

function assertRunning(entered: EnteredTarget, { progress, faults }: Sweep): void {
  assert.ok(entered.target.isRunning(), 'the target has ended');
  for (const tid of readThreadIds(entered.pid)) {
    assert.equal(readStatus(tid).tracer, 0);
    assert.ok(!'tT'.includes(stateOf(tid)!), `thread ${tid} is stopped`);
  }
  const before = entered.counter(progress);
  waitUntil('the target works', () => entered.counter(progress) > before);
  for (const fault of faults) assert.equal(entered.counter(fault), 0n, fault);
}

/** What a killed controller left in the code is taken out as the next one would. */
function repair(entered: EnteredTarget, patched: string): void {
  const site = entered.address(patched);
  using _held = entered.process.stopThreads();
  const found = entered.process.memory.read(site, 5);
  const original = ADD_WINDOW.subarray(0, 5);
  if (Buffer.compare(found, original) === 0) return;
  assert.equal(found[0], 0xe9, `half a jump: ${Buffer.from(found).toString('hex')}`);
  entered.process.memory.write(site, original);
}

describe('a controller killed at any call', { skip: CANNOT_TRACE }, () => {
  for (const sweep of SWEEPS) {
    it(`harms no target: ${sweep.what}`, (t) => {
      using entered = new EnteredTarget(sweep.target, sweep.args);
      const total = control(entered.pid, 0, sweep.patched)!;
      assert.ok(total >= sweep.points, `only ${total} calls`);
      const points = process.env.SWEEP === 'all' ? total : sweep.points;
      let killed = 0;
      for (let point = 0; point < points; point++) {
        const at = 1 + Math.floor((point * total) / points);
        if (control(entered.pid, at, sweep.patched) === undefined) killed++;
        assertRunning(entered, sweep);
        const isClosed = () => openMemoryFiles(entered.pid).length === 0;
        if (!sweep.mayLeaveFile) waitUntil(`it has closed the memory file, killed at ${at}`, isClosed);
        if (sweep.patched !== undefined) repair(entered, sweep.patched);
      }
      t.diagnostic(`killed ${killed} times in ${total} calls`);
      // The last one leaves nothing of the others' stubs behind.
      control(entered.pid, 0, sweep.patched);
      assertRunning(entered, sweep);
    });
  }
});
