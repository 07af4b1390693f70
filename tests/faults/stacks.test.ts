/** Fault A14: stacks with little room left, and how much of them a probe takes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BpfObject, openObject } from '../../src/index.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { objectFile } from '../support/objects.ts';

const attach = (object: BpfObject, { target }: FaultsTarget, program: string, kind: string) =>
  object.program(program).attachTo(target, `${kind}:stacks:hit`);

/** What a probe may take of the stack it finds: what its program has of its own, and this for all else. */
const LEAST_ROOM = 256n;

describe('a stack with little room', () => {
  for (const [what, file, program, kind, own] of [
    ['a program that counts', 'count', 'on_call', 'uprobe', 4n],
    ['helpers without system calls', 'every-helper', 'on_call', 'uprobe', 16n],
    ['helpers that make system calls', 'every-helper', 'on_call_slowly', 'uprobe', 24n],
    ['all the stack that a program may have', 'every-helper', 'on_call_deeply', 'uprobe', 512n],
    ['a return probe', 'function-calls', 'on_return', 'uretprobe', 8n],
    ['helpers at a return', 'every-helper', 'on_return', 'uretprobe', 16n],
  ] as const) {
    it(`A14: loses a few words to ${what}`, (t) => {
      using faults = new FaultsTarget('deep', 0, 'stacks');
      using object = openObject(objectFile(file));
      faults.runUntil('made', 10n);
      assert.equal(faults.get('depth'), 0n, 'the function itself takes nothing');
      const link = attach(object, faults, program, kind);
      faults.runUntil('made', faults.get('made') + 500n);
      const depth = faults.get('depth');
      t.diagnostic(`${depth} bytes`);
      assert.ok(link.hits > 0n && depth > 0n);
      assert.ok(depth <= own + LEAST_ROOM, `${depth} bytes`);
      assert.equal(faults.get('wrong'), 0n);
    });
  }

  for (const [mode, what] of [
    ['alternate', 'a signal handler with 2 KB'],
    ['context', 'a makecontext of 4 KB'],
    ['guard', 'a thread with 1 KB left above its guard page'],
  ] as const) {
    it(`A14: is enough in ${what}`, () => {
      using faults = new FaultsTarget(mode, 0, 'stacks');
      using object = openObject(objectFile('every-helper'));
      faults.runUntil('made', 10n);
      const before = faults.get('made');
      const links = [
        attach(object, faults, 'on_call', 'uprobe'),
        attach(object, faults, 'on_call_slowly', 'uprobe'),
        attach(object, faults, 'on_call_deeply', 'uprobe'),
        attach(object, faults, 'on_return', 'uretprobe'),
      ];
      faults.runUntil('made', before + 10_000n);
      assert.ok(faults.running.isRunning());
      for (const link of links) assert.equal(link.hits, faults.get('made') - before);
      object[Symbol.dispose]();
      assert.equal(faults.get('wrong'), 0n);
      assert.deepEqual(faults.changedCode(), []);
    });
  }
});
