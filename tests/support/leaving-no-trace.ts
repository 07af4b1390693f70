/** What every session owes its target: that it is found as it was, and that its own checks were right. */
import assert from 'node:assert/strict';
import { openProcess, type TargetProcess } from '../../src/index.ts';
import { CallsTarget } from './calls-target.ts';
import { footprint } from './entered.ts';

/** Runs `body` beside threads that call, which then are as they were before, and have had no wrong result. */
export function leavingNoTrace(threads: number, body: (calls: CallsTarget, target: TargetProcess) => void): void {
  using calls = new CallsTarget(threads);
  using target = openProcess(calls.pid);
  const before = footprint(target);
  body(calls, target);
  assert.deepEqual(footprint(target), before);
  assert.equal(calls.wrong, 0n);
}
