/** Sessions that probe returns in one process, and leave it in any order: K2. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfLink, detachSessions, openObject, openProcess } from '../../src/index.ts';
import { AskedController } from '../support/asked.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { leavingNoTrace } from '../support/leaving-no-trace.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { ReturningTarget } from '../support/returning-target.ts';
import { waitUntil } from '../support/targets.ts';

const DYING = join(import.meta.dirname, '..', 'support', 'dying-controller.js');

const count = () => openObject(objectFile('count'));

/** Hits of a return, and those that were missed. */
const seen = ({ hits, missed }: BpfLink): bigint => hits + missed;

describe('sessions that probe returns', { skip: CANNOT_TRACE }, () => {
  for (const [order, first] of [
    ['that came last goes first', 1],
    ['that came first goes first', 0],
  ] as const) {
    it(`K2: share a function: the one ${order}`, () => {
      leavingNoTrace(2, (calls, target) => {
        using one = count();
        using other = count();
        const objects = [one, other];
        const links = objects.map((object) => object.program('on_call').attachUretprobe(target, 'calls:work'));
        const entry = one.program('on_call').attachUprobe(target, 'calls:work');
        calls.call(50);
        assert.deepEqual([...links, entry].map(seen), [100n, 100n, 100n]);
        objects[first]![Symbol.dispose]();
        calls.call(50);
        const rest = links[1 - first]!;
        assert.deepEqual([rest.hits, rest.missed], [200n, 0n]);
      });
    });

    it(`K2: a thread sleeps in the function when the one ${order}`, () => {
      using entered = new EnteredTarget('sleeper', ['nanosleep']);
      const before = footprint(entered.process);
      {
        using one = count();
        using other = count();
        const objects = [one, other];
        const links = objects.map((object) =>
          object.program('on_call').attachTo(entered.process, 'uretprobe:libc:clock_nanosleep'),
        );
        const wakes = (): void => {
          const waits = entered.counter('waits');
          waitUntil('it wakes twice', () => entered.counter('waits') > waits + 1n || !entered.target.isRunning());
        };
        wakes();
        objects[first]![Symbol.dispose]();
        const hits = links[1 - first]!.hits;
        wakes();
        assert.ok(links[1 - first]!.hits > hits);
      }
      assert.deepEqual(footprint(entered.process), before);
      for (const fault of ['spurious', 'too_short']) assert.equal(entered.counter(fault), 0n, fault);
    });
  }

  it('K2: one goes while the other has a program at the entry, and comes back', () => {
    leavingNoTrace(2, (calls, target) => {
      using one = count();
      using other = count();
      const first = one.program('on_call').attachUretprobe(target, 'calls:work');
      const entry = other.program('on_call').attachUprobe(target, 'calls:work');
      const second = other.program('on_call').attachUretprobe(target, 'calls:work_keyed');
      calls.call(50);
      first.detach();
      calls.call(50);
      const again = one.program('on_call').attachUretprobe(target, 'calls:work_keyed');
      calls.call(50);
      assert.deepEqual([first, entry, second, again].map(seen), [100n, 300n, 300n, 100n]);
    });
  });
});

/** What is known of the returns that both sessions see: all are counted, none is lost, both see the same, or some never come. */
const SCENARIOS = [
  ['returning', 'recursion', ['probed_recursive'], 'counted'],
  ['returning', 'depth', ['probed_deep', 'probed_sum'], 'told'],
  ['returning', 'tail', ['probed_before_jumps', 'probed_first', 'probed_middle', 'probed_last'], 'told'],
  ['returning', 'threads', ['probed_sum'], 'counted'],
  ['returning', 'longjmp', ['probed_jumping', 'probed_around', 'probed_sum'], 'dropped'],
  ['returning', 'cancel', ['probed_waiting'], 'told'],
  ['returning', 'migration', ['probed_yielding'], 'told'],
  ['returning', 'backtrace', ['probed_tracing'], 'told'],
  ['returning', 'signals', ['probed_sum', 'probed_recursive'], 'same'],
  ['throwing', 'threads', ['probed_throwing', 'probed_catching', 'probed_rethrowing'], 'told'],
] as const;

describe('functions that return in every way, probed by two sessions', { skip: CANNOT_TRACE }, () => {
  for (const [n, [program, scenario, functions, known]] of SCENARIOS.entries()) {
    it(`K2: ${scenario} of ${program}.c: the target behaves as without, and each session is right`, () => {
      using target = new ReturningTarget(program, scenario);
      target.run();
      using process = openProcess(target.pid);
      {
        using one = count();
        using other = count();
        const objects = n % 2 === 0 ? [one, other] : [other, one];
        const links = objects.map((object) =>
          functions.map((name) => object.program('on_call').attachUretprobe(process, `${program}:${name}`)),
        );
        const calls = target.run();
        assert.equal(target.wrong, 0n);
        const [hits, told] = [(link: BpfLink) => link.hits, seen].map((what) =>
          links.map((of) => of.reduce((total, link) => total + what(link), 0n)),
        );
        if (known === 'counted') assert.deepEqual(hits, [calls, calls]);
        if (known === 'told') assert.deepEqual(told, [calls, calls]);
        // Who came last puts its addresses away first, as if it were alone; what jumps left takes the room of the other.
        if (known === 'dropped') assert.ok(hits![1] === 3001n && hits![0]! <= 3001n && told![0]! >= 3001n);
        if (known === 'same') assert.equal(told![0], told![1]);
        one[Symbol.dispose]();
        const more = target.run();
        assert.equal(target.wrong, 0n);
        const rest = links[n % 2 === 0 ? 1 : 0]!;
        if (known === 'counted')
          assert.equal(
            rest.reduce((total, link) => total + link.hits, 0n),
            calls + more,
          );
      }
      target.run();
      assert.equal(target.wrong, 0n);
    });
  }
});

describe('controllers that probe returns', { skip: CANNOT_TRACE }, () => {
  for (const first of [0, 1]) {
    it(`K2: in processes of their own: ${first === 0 ? 'the first' : 'the last'} goes first`, async () => {
      using calls = new CallsTarget(2);
      using target = openProcess(calls.pid);
      const before = footprint(target);
      const controllers = [
        await AskedController.attach(calls.pid, 'uretprobe:calls:work'),
        await AskedController.attach(calls.pid, 'uretprobe:calls:work'),
      ];
      calls.call(50);
      assert.equal(await controllers[first]!.leave(), 100n);
      calls.call(50);
      assert.equal(await controllers[1 - first]!.leave(), 200n);
      assert.deepEqual(footprint(target), before);
      assert.equal(calls.wrong, 0n);
    });
  }

  it('K2: killed ones below, between and above the living are taken off while the function is called', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    const die = (): void => {
      const run = spawnSync(process.execPath, [DYING, String(calls.pid), 'uretprobe:calls:work', 'is killed']);
      assert.equal(run.signal, 'SIGKILL');
    };
    {
      using one = count();
      using other = count();
      die();
      const below = one.program('on_call').attachUretprobe(target, 'calls:work');
      die();
      const above = other.program('on_call').attachUretprobe(target, 'calls:work');
      die();
      calls.call(50);
      one[Symbol.dispose]();
      const from = calls.total;
      calls.start();
      assert.equal(detachSessions(calls.pid, ({ state }) => state === 'quiet').size, 3);
      calls.stop();
      assert.equal(below.hits, 100n);
      assert.deepEqual([above.hits, above.missed], [100n + calls.total - from, 0n]);
    }
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });

  it('K2: come and go while the function is called: who stays counts every return', () => {
    leavingNoTrace(2, (calls, target) => {
      using resident = count();
      const link = resident.program('on_call').attachUretprobe(target, 'calls:work');
      for (let round = 0; round < repetitions(6, 500); round++) {
        calls.start();
        const guests = [count(), count()];
        for (const guest of guests) guest.program('on_call').attachUretprobe(target, 'calls:work');
        for (const guest of round % 2 === 0 ? guests : guests.toReversed()) guest[Symbol.dispose]();
        calls.stop();
        assert.deepEqual([link.hits, link.missed], [calls.total, 0n]);
      }
    });
  });
});
