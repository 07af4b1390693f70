/** Programs of syscalls.bpf.c or another object on scenarios of calling.c: what they count, and that the target does not notice. */
import assert from 'node:assert/strict';
import { type BpfLink, type BpfObject, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from './code-hash.ts';
import { objectFile } from './objects.ts';
import { ReturningTarget } from './returning-target.ts';

/** The call whose number scenarios tell. */
export const GETPPID = 110;

/** What an array of the object holds. */
export const numbers = (object: BpfObject, map: string): readonly bigint[] =>
  object
    .map(map)
    .entries()
    .map(({ value }) => BigInt.asIntN(64, BigInt(value as number | string)));

/** Attaches programs of an object for as long as `body` runs; the target's own code is as before afterwards. */
export function tracing(
  pid: number,
  programs: readonly string[],
  body: (object: BpfObject, links: readonly BpfLink[], process: TargetProcess) => void,
  name = 'syscalls',
): void {
  const before = codeHashes(pid);
  using process = openProcess(pid);
  {
    using object = openObject(objectFile(name), { allow: ['override'] });
    body(
      object,
      programs.map((name) => object.program(name).attach(process)),
      process,
    );
  }
  assert.deepEqual(codeHashes(pid), before);
}

/** Runs a scenario of calling.c with every call counted at entry, at exit, or both. */
export function counting(scenario: string, programs: readonly string[], check?: (object: BpfObject) => void): void {
  using target = new ReturningTarget('calling', scenario);
  target.run();
  tracing(target.pid, programs, (object, links) => {
    const calls = target.run();
    assert.equal(target.wrong, 0n, 'what the target does is right');
    if (programs.includes('on_enter')) assert.equal(numbers(object, 'entered')[GETPPID], calls, 'entries');
    if (programs.includes('on_exit')) assert.equal(numbers(object, 'left')[GETPPID], calls, 'exits');
    for (const { missed, method } of links) assert.deepEqual([missed, method], [0n, 'jump']);
    check?.(object);
  });
  target.run();
  assert.equal(target.wrong, 0n, 'what it does without us is right');
}
