/**
 * A controller whose calls fail, one at a time, or that has few descriptors left: it attaches and detaches, and what fails is undone
 * as soon as nothing fails any more. Prints how many of the tries worked and how many did not.
 * Usage: failing-controller PID calls STEP, or PID descriptors COUNT
 */

import { closeSync, openSync } from 'node:fs';
import { BpfError, openObject, openProcess } from '../../src/index.ts';
import { footprint } from './entered.ts';
import { callsMade, failAtCall } from './failing-calls.ts';
import { objectFile } from './objects.ts';

const [pid, how, size] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const witness = openProcess(pid);
const count = objectFile('count');
const before = JSON.stringify(footprint(witness));
const outcomes = { worked: 0, failed: 0 };

/** Attaches and detaches between `prepare` and `restore`, and leaves. */
function attempt(what: string, prepare: () => void, restore: () => void): void {
  const error = whatFails(prepare, restore);
  if (error === undefined) outcomes.worked++;
  else if (error instanceof BpfError) outcomes.failed++;
  else throw new Error(`${what}: it fails with no error of ours`, { cause: error });
  const after = JSON.stringify(footprint(witness));
  if (after !== before) throw new Error(`${what}: something is left\n${before}\n${after}`, { cause: error });
}

function whatFails(prepare: () => void, restore: () => void): unknown {
  const open: Disposable[] = [];
  let failure: unknown;
  prepare();
  try {
    const target = openProcess(pid);
    open.push(target);
    const object = openObject(count);
    open.push(object);
    object.program('on_call').attachUprobe(target, 'calls:work');
    object.program('on_call').attachUretprobe(target, 'calls:work_push');
    object.detachAll();
  } catch (error) {
    failure = error;
  }
  restore();
  for (const one of open.reverse()) one[Symbol.dispose]();
  return failure;
}

/** One after the other, until there are no more: a try that fails is shorter. */
function failCalls(step: number): void {
  let made = 0;
  for (let n = 1; n === 1 || made >= n - step; n += step) {
    attempt(
      `call ${n}`,
      () => failAtCall(n),
      () => {
        made = callsMade();
        failAtCall(0);
      },
    );
  }
}

function leaveFewDescriptors(most: number): void {
  const taken: number[] = [];
  const takeAll = (): void => {
    try {
      for (;;) taken.push(openSync('/dev/null', 'r'));
    } catch {
      // There are no more.
    }
  };
  for (let left = 0; left <= most; left++) {
    attempt(
      `${left} descriptors`,
      () => {
        takeAll();
        for (const fd of taken.splice(0, left)) closeSync(fd);
      },
      () => {
        for (const fd of taken.splice(0)) closeSync(fd);
      },
    );
  }
}

// What is loaded when it is first needed is loaded.
attempt(
  'nothing',
  () => {},
  () => {},
);
if (how === 'calls') failCalls(size);
else leaveFewDescriptors(size);
console.log(JSON.stringify(outcomes));
