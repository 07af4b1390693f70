/** Sessions that meet at one function, and leave it in any order: K2. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { AttachError } from '../../src/attach/errors.ts';
import {
  type BpfLink,
  type BpfObject,
  detachSessions,
  openObject,
  openProcess,
  ProcessSessions,
  type TargetProcess,
} from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { leavingNoTrace } from '../support/leaving-no-trace.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';

const DYING = join(import.meta.dirname, '..', 'support', 'dying-controller.js');

/** A controller that attaches to `place` and is killed. */
function dieAttached(pid: number, place: string): void {
  const run = spawnSync(process.execPath, [DYING, String(pid), place, 'is killed'], { encoding: 'utf8' });
  assert.equal(run.signal, 'SIGKILL', run.stderr);
}

const count = () => openObject(objectFile('count'));

describe('sessions at one function', { skip: CANNOT_TRACE }, () => {
  for (const [order, first] of [
    ['the one that came last goes first', 1],
    ['the one that came first goes first', 0],
  ] as const) {
    for (const [what, place, method] of [
      ['a function', 'calls:work', 'jump'],
      ['one that has room for a short jump only', 'calls:work_brief', 'short jump'],
    ] as const) {
      it(`K2: share ${what}: ${order}`, () => {
        leavingNoTrace(2, (calls, target) => {
          using one = count();
          using other = count();
          const links = [one, other].map((object) => object.program('on_call').attachUprobe(target, place));
          assert.deepEqual(
            links.map((link) => link.method),
            [method, method],
          );
          calls.call(50);
          links[first]!.detach();
          calls.call(50);
          links[1 - first]!.detach();
          calls.call(50);
          assert.deepEqual(
            links.map(({ hits }) => hits),
            first === 0 ? [100n, 200n] : [200n, 100n],
          );
        });
      });
    }
  }

  it('K2: one of them probes the return, one has two programs', () => {
    leavingNoTrace(2, (calls, target) => {
      using one = count();
      using returns = count();
      using other = count();
      const links = [
        one.program('on_call').attachUprobe(target, 'calls:work'),
        returns.program('on_call').attachUretprobe(target, 'calls:work'),
        other.program('on_call').attachUprobe(target, 'calls:work'),
        one.program('on_call').attachUprobe(target, 'calls:work'),
      ];
      calls.call(50);
      assert.deepEqual(
        links.map(({ hits }) => hits),
        [100n, 100n, 100n, 100n],
      );
      returns[Symbol.dispose]();
      calls.call(50);
      links[0]!.detach();
      calls.call(50);
      assert.deepEqual([links[0]!.hits, links[2]!.hits, links[3]!.hits], [200n, 300n, 300n]);
    });
  });

  it('K2: a probe in the midst of what gave way to another is refused', () => {
    leavingNoTrace(1, (calls, target) => {
      using one = count();
      using other = count();
      const link = one.program('on_call').attachUprobe(target, 'calls:work_nops');
      const on = (place: string) => other.program('on_call').attachUprobe(target, place);
      const above = on('calls:work_nops');
      assert.throws(
        () => on('calls:work_nops+2'),
        (e) => e instanceof AttachError && e.code === 'ATTACH_SITE_PATCHED',
      );
      calls.call(50);
      assert.deepEqual([link.hits, above.hits], [50n, 50n]);
    });
  });

  for (const place of ['calls:work', 'calls:work_brief']) {
    it(`K2: killed ones below, between and above the living are taken off one by one, at ${place}`, () => {
      leavingNoTrace(2, (calls, target) => {
        using one = count();
        using other = count();
        dieAttached(calls.pid, `uprobe:${place}`);
        const below = one.program('on_call').attachUprobe(target, place);
        dieAttached(calls.pid, `uprobe:${place}`);
        const above = other.program('on_call').attachUprobe(target, place);
        dieAttached(calls.pid, `uprobe:${place}`);
        calls.call(50);
        below.detach();
        calls.call(50);
        assert.equal(detachSessions(calls.pid, ({ state }) => state === 'quiet').size, 3);
        calls.call(50);
        assert.deepEqual([below.hits, above.hits], [100n, 300n]);
      });
    });
  }
});

const PLACES = ['calls:work', 'calls:work_push', 'calls:work_brief'] as const;

/** The same numbers for the same seed. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** One of several sessions that come and go. */
class Guest implements Disposable {
  readonly #target: TargetProcess;
  #object: BpfObject | undefined;
  readonly #links = new Map<string, BpfLink>();

  constructor(target: TargetProcess) {
    this.#target = target;
  }

  /** Comes to a place, or goes from it. */
  toggle(place: string): void {
    this.#object ??= count();
    const link = this.#links.get(place);
    if (link === undefined) {
      this.#links.set(place, this.#object.program('on_call').attachUprobe(this.#target, place));
    } else {
      link.detach();
      this.#links.delete(place);
    }
  }

  [Symbol.dispose](): void {
    this.#object?.[Symbol.dispose]();
    this.#object = undefined;
    this.#links.clear();
  }
}

describe('sessions that come and go in any order', { skip: CANNOT_TRACE }, () => {
  it('K2: while the function is called without end: who stays counts every call, once', () => {
    using calls = new CallsTarget(4);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    const random = randomNumbers(1);
    const guests = Array.from({ length: 4 }, () => new Guest(target));
    const residents: { readonly object: BpfObject; readonly links: readonly BpfLink[]; readonly from: bigint }[] = [];
    const ROUND = 25;
    for (let step = 0; step < repetitions(75, 10_000); step += ROUND) {
      for (const place of PLACES) guests[random(4)]!.toggle(place);
      const object = count();
      const links = PLACES.map((place) => object.program('on_call').attachUprobe(target, place));
      residents.push({ object, links, from: calls.total });
      calls.start();
      for (let n = 0; n < ROUND; n++) {
        const guest = guests[random(4)]!;
        const what = random(12);
        if (what > 0) guest.toggle(PLACES[random(PLACES.length)]!);
        else guest[Symbol.dispose]();
      }
      // The one before this one has been above some, below others, and between.
      if (residents.length > 2) residents.shift()!.object[Symbol.dispose]();
      calls.stop();
      for (const { links, from } of residents) {
        for (const { hits, missed } of links) assert.deepEqual([hits, missed], [calls.total - from, 0n]);
      }
    }
    for (const { object } of residents) object[Symbol.dispose]();
    for (const guest of guests) guest[Symbol.dispose]();
    assert.equal(calls.wrong, 0n);
    assert.deepEqual(footprint(target), before);
  });

  it('K2: and are taken off from outside at any moment', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    const random = randomNumbers(2);
    const guests = Array.from({ length: 4 }, () => new Guest(target));
    for (let step = 0; step < repetitions(12, 1000); step++) {
      calls.start();
      for (const place of PLACES) {
        const guest = random(4);
        try {
          guests[guest]!.toggle(place);
        } catch (error) {
          assert.equal((error as { code?: string }).code, 'INJECT_CLOSED');
          guests[guest]![Symbol.dispose]();
        }
      }
      using found = new ProcessSessions(calls.pid);
      const id = found.sessions[random(2 * found.sessions.length)]?.id;
      if (id !== undefined) assert.equal(detachSessions(calls.pid, (one) => one.id === id).size, 1);
      calls.stop();
    }
    for (const guest of guests) guest[Symbol.dispose]();
    assert.equal(calls.wrong, 0n);
    assert.deepEqual(footprint(target), before);
  });
});
