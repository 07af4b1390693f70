/** F2: a controller that dies while a thread of the target makes system calls for it. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { detachSessions } from '../../src/index.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { waitUntil } from '../support/targets.ts';

const SUPPORT = join(import.meta.dirname, '..', 'support');
const PRELOAD = join(SUPPORT, 'kill-at-call.js');
const CONTROLLER = join(SUPPORT, 'session-controller.js');

/** Where it is killed, by the ptrace request that it would have made next. */
const MOMENTS = [
  ['before the thread gets its registers', 13],
  ['when it has them, before it runs', 7],
  ['while it makes the calls, or when it has made them', 0x4207],
  ['when it has its own registers again, before it is let go', 17],
] as const;

/** Runs a controller; how many requests it made, undefined if it was killed. */
function control(pid: number, request: number, killAt: number): number | undefined {
  const env = { ...process.env, KILL_AT: String(killAt), KILL_OF: String(request) };
  const args = ['--import', PRELOAD, CONTROLLER, String(pid), 'uretprobe:libc:clock_nanosleep'];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', env });
  if (run.signal === 'SIGKILL') return undefined;
  assert.equal(run.status, 0, run.stderr);
  return Number(run.stdout);
}

describe('a controller that dies in the midst of injected calls', { skip: CANNOT_TRACE }, () => {
  for (const [when, request] of MOMENTS) {
    it(`F2: ${when}: the thread restores itself, and nothing stays`, (t) => {
      using entered = new EnteredTarget('sleeper', ['nanosleep']);
      const before = footprint(entered.process);
      const total = control(entered.pid, request, 0)!;
      assert.ok(total > 0);
      const points = repetitions(Math.min(2, total), total);
      for (let point = 0; point < points; point++) {
        const at = 1 + Math.floor((point * total) / points);
        assert.equal(control(entered.pid, request, at), undefined, `killed at ${at} of ${total}`);
        const waits = entered.counter('waits');
        waitUntil('it wakes', () => entered.counter('waits') > waits);
        let left: unknown;
        waitUntil(
          `it is as before, killed at ${at} of ${total}`,
          () => {
            detachSessions(entered.pid, () => true);
            left = footprint(entered.process);
            return JSON.stringify(left) === JSON.stringify(before);
          },
          15_000,
          () => assert.deepEqual(left, before),
        );
        for (const fault of ['spurious', 'too_short']) assert.equal(entered.counter(fault), 0n, fault);
      }
      t.diagnostic(`killed at ${points} of ${total}`);
    });
  }
});
