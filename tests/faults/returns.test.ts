/**
 * Faults C9 and C10: return probes come and go while exceptions, backtraces, longjmp and coroutines pass through the probed
 * functions. That they are right when they stay is for uretprobe.test.ts to show.
 */
import assert from 'node:assert/strict';
import { constants } from 'node:os';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { SteppedTarget } from '../support/stepped-target.ts';

const CYCLES = 15;
const { SIGURG } = constants.signals;

describe('return probes that come and go', () => {
  for (const [title, program, scenario, functions] of [
    [
      'C9: while 8 threads throw through them',
      'throwing',
      'threads',
      ['probed_throwing', 'probed_catching', 'probed_rethrowing'],
    ],
    ['C9: while backtraces are taken through them', 'returning', 'backtrace', ['probed_tracing']],
    ['C10: while longjmp passes them', 'returning', 'longjmp', ['probed_jumping', 'probed_around']],
    ['C10: while coroutines leave their stacks in them', 'returning', 'swapcontext', ['probed_yielding', 'probed_sum']],
    ['C10: while coroutines wander from thread to thread in them', 'returning', 'migration', ['probed_yielding']],
  ] as const) {
    it(title, () => {
      using target = new ReturningTarget(program, scenario);
      target.run();
      const before = codeHashes(target.pid);
      using process = openProcess(target.pid);
      using object = openObject(objectFile('function-calls'));
      const [entry, end] = [object.program('on_entry'), object.program('on_return')];
      let hits = 0n;
      target.start();
      for (let cycle = 0; cycle < CYCLES || hits === 0n; cycle++) {
        const links = functions.flatMap((name) => [
          end.attachUretprobe(process, `${program}:${name}`),
          entry.attachUprobe(process, `${program}:${name}`),
        ]);
        if (target.isDone) target.start();
        for (const link of links) link.detach();
        hits += links.reduce((sum, link) => sum + link.hits, 0n);
      }
      target.finish();
      assert.equal(target.wrong, 0n, 'what the target does is right');
      object[Symbol.dispose]();
      const now = codeHashes(target.pid);
      for (const mapping of Object.keys(before)) assert.equal(now[mapping], before[mapping], mapping);
      target.run();
      assert.equal(target.wrong, 0n);
    });
  }
});

describe('guards of unwinders', () => {
  it('C9: stay as long as a handler waits on top of our code, and are taken off by who comes next', () => {
    using stepped = new SteppedTarget();
    const probe = () => {
      const object = openObject(objectFile('function-calls'));
      return { object, link: object.program('on_return').attachUretprobe(stepped.target, 'stepped:frame') };
    };
    stepped.start();
    const first = probe();
    stepped.runOn();
    const modules = stepped.target.modules();
    stepped.handleAt((rip) => !modules.some((module) => module.holdsCode(rip)), SIGURG);
    first.object[Symbol.dispose]();
    assert.notDeepEqual(stepped.changedCode(), [], 'the guards stand');
    // Who comes while they must stay shares them.
    probe().object[Symbol.dispose]();
    assert.notDeepEqual(stepped.changedCode(), [], 'they stand still');
    stepped.releaseHandler();
    stepped.runOn();
    const second = probe();
    stepped.runOn();
    assert.ok(second.link.hits > 0n);
    second.object[Symbol.dispose]();
    assert.deepEqual(stepped.changedCode(), []);
    assert.equal(stepped.get('wrong'), 0n);
  });
});
