/** Targets whose threads are many, short-lived, or in odd states: B1, B2, B3, B7. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { detachSessions, openObject, openProcess, ProcessSessions } from '../../src/index.ts';
import { Injection } from '../../src/inject/injection.ts';
import { readThreadFacts } from '../../src/runtime/target-facts.ts';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { mappingAt } from '../../src/sys/proc-maps.ts';
import { CANNOT_TRACE, EnteredTarget, type Footprint, footprint } from '../support/entered.ts';
import { FaultsTarget } from '../support/faults-target.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { Stepper } from '../support/stepper.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

const count = () => openObject(objectFile('count'));

describe('threads that come and go', { skip: CANNOT_TRACE }, () => {
  it('B1: what is learnt from a thread holds when it has ended, and its memory is gone', () => {
    using entered = new EnteredTarget('threads', ['1', 'fleeting']);
    const sleeper = readThreadIds(entered.pid).find((tid) => tid !== entered.pid)!;
    waitUntil('it sleeps', () => stateOf(sleeper) === 'S');
    using injection = new Injection(entered.process);
    const { thread } = injection.share(4096);
    assert.equal(thread.tid, sleeper);
    entered.set('go', 1);
    waitUntil('it has ended', () => entered.counter('churned') === 1n);
    assert.throws(() => entered.process.memory.read(thread.fsBase, 8), { code: 'SYS_EIO' });
    assert.deepEqual(readThreadFacts(entered.process, thread), { threadPointers: true, tidOffset: 720 });
  });

  it('B1: every thread is met that is made after a probe came, and none when it has gone', () => {
    using entered = new EnteredTarget('threads', ['1', 'breed']);
    // With the first thread the C library's handler comes.
    waitUntil('it makes threads', () => entered.counter('churned') > 0n);
    const before = footprint(entered.process);
    for (let n = 0; n < repetitions(8, 1000); n++) {
      using object = count();
      const earliest = entered.counter('churned');
      const link = object.program('on_call').attachUprobe(entered.process, 'threads:born');
      const latest = entered.counter('churned');
      waitUntil('more are made', () => entered.counter('churned') > latest + 20n);
      const [hits, made] = standing(entered, () => [link.hits, entered.counter('churned')]);
      // One at a time: at most one thread is between the program and the count of its own.
      assert.ok(hits >= made - latest - 1n && hits <= made - earliest + 1n, `${hits} of ${made - earliest}`);
    }
    assert.equal(entered.counter('damaged'), 0n);
    assert.deepEqual(unblocked(footprint(entered.process)), unblocked(before));
  });
});

/** What is so while all threads stand still. */
function standing<T>(entered: EnteredTarget, look: () => T): T {
  using _held = entered.process.stopThreads();
  return look();
}

/** Stacks of threads come and go. */
const stable = ({ code, descriptors, status }: Footprint) => ({ code, descriptors, status });

/** While it makes a thread, one blocks signals: whether it was just about to, when it was looked at, is chance. */
const unblocked = (found: Footprint) => {
  const { code, descriptors, status } = stable(found);
  return { code, descriptors, status: status.filter((line) => !line.startsWith('SigBlk')) };
};

describe('a thousand threads', { skip: CANNOT_TRACE }, () => {
  it('B2: that run, sleep and wait in vfork: refused while one cannot stop, with all let go; probed when it can', async () => {
    using entered = new EnteredTarget('threads', ['1000', 'mixed']);
    const before = stable(footprint(entered.process));
    using object = count();
    const attach = () => object.program('on_call').attachUprobe(entered.process, 'threads:passed');
    assert.throws(attach, { code: 'PROCESS_STOP_TIMEOUT' });
    const rounds = entered.counter('rounds');
    waitUntil('the others go on', () => entered.counter('rounds') > rounds);
    entered.set('go', 1);
    while (entered.counter('churned') === 0n) await new Promise((resolve) => setTimeout(resolve, 20));
    for (const tid of readThreadIds(entered.pid)) assert.equal(readStatus(tid).tracer, 0);
    const link = attach();
    waitUntil('it is counted', () => link.hits > 1000n);
    assert.ok(link.pauseUs > 0);
    object[Symbol.dispose]();
    assert.equal(entered.counter('damaged'), 0n);
    assert.deepEqual(stable(footprint(entered.process)), before);
  });
});

describe('a process whose first thread has ended', { skip: CANNOT_TRACE }, () => {
  it('B3: is probed, seen and taken off like any other', () => {
    using entered = new EnteredTarget('threads', ['3', 'leaderless']);
    waitUntil('the first thread has ended', () => stateOf(entered.pid) === 'Z');
    using target = openProcess(entered.pid);
    {
      using object = count();
      const link = object.program('on_call').attachUprobe(target, 'threads:passed');
      waitUntil('it is counted', () => link.hits > 1000n);
      using found = new ProcessSessions(entered.pid);
      assert.deepEqual(
        found.sessions.map(({ state }) => state),
        ['live'],
      );
      assert.equal(detachSessions(entered.pid, () => true).size, 1);
    }
    assert.ok(!target.mappings().some(({ path }) => path === '/memfd:remora'));
    const rounds = entered.counter('rounds');
    waitUntil('it goes on', () => entered.counter('rounds') > rounds);
    assert.equal(entered.counter('damaged'), 0n);
  });
});

describe('a thread that stands still inside a program', { skip: CANNOT_TRACE }, () => {
  it('B7: wherever in it, its map changing or not: the others go on, and no call is lost', () => {
    using faults = new FaultsTarget('calls', 3);
    const { pid } = faults.running;
    using object = openObject(objectFile('lru'));
    const link = object.program('on_visit').attachUprobe(faults.target, 'faults:hit');
    const ours = faults.target.mappings().filter(({ permissions, path }) => permissions === 'r-xp' && path === '');
    const worker = readThreadIds(pid).at(-1)!;
    faults.start();
    waitUntil('they work', () => faults.get('working') === 3n);
    let inside = 0;
    for (let n = 0; n < repetitions(40, 1000); n++) {
      using stepper = new Stepper(worker);
      const isOurs = (rip: bigint): boolean => mappingAt(ours, rip) !== undefined;
      // Into it and so many instructions on; not through it: where others change what it changes one that is stepped loses to them.
      if (!isOurs(stepper.rip)) stepper.stepTo(isOurs);
      for (let steps = 0; steps < n * 3 && isOurs(stepper.rip); steps++) stepper.step();
      if (isOurs(stepper.rip)) inside++;
      const made = faults.get('made');
      waitUntil('the others go on', () => faults.get('made') > made + 1000n);
    }
    faults.stop();
    assert.ok(inside > 0);
    assert.equal(link.hits + link.missed, faults.get('made'));
    assert.equal(link.missed, 0n);
    object[Symbol.dispose]();
    assert.equal(faults.get('wrong'), 0n);
    assert.deepEqual(faults.changedCode(), []);
  });
});
