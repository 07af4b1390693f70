/** Values that belong to threads, in live processes: each has its own, and it goes with its thread. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type MapEntry, openObject } from '../../src/index.ts';
import { readThreadIds } from '../../src/sys/proc.ts';
import { Crowd } from '../support/crowd.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const THREADS = 8;

for (const compiler of COMPILERS) {
  describe(`task storage, object of ${compiler}`, { skip: CANNOT_TRACE }, () => {
    it('counts for each thread what it did, its signal handlers too, and nothing else', () => {
      using target = new Crowd(THREADS, 3000);
      using object = openObject(objectFile('task-storage', compiler));
      const link = object.program('on_visit').attachUprobe(target.process, `${target.module.name}:visit`);
      const visits = target.run();
      const entries = object.map('owns').entries();
      link.detach();
      assert.equal(variable(object.map('.bss').lookup(0)!), 0n);
      assert.equal(link.hits + link.missed, visits);
      const threads = [...readThreadIds(target.pid)].filter((thread) => thread !== target.pid);
      assert.deepEqual(new Set(entries.map(({ key }) => key)), new Set(threads));
      let calls = 0;
      for (const { key, value } of entries) {
        const own = value as { calls: number; thread: number };
        assert.equal(own.thread, key);
        calls += own.calls;
      }
      assert.equal(BigInt(calls), link.hits);
    });

    it('begins with zeros in each thread, and goes when the thread ends', async () => {
      using target = new EnteredTarget('transient');
      const step = (number: number): void => {
        target.set('go', number);
        waitUntil('the thread has ended', () => target.counter('finished') === BigInt(number), 20_000);
      };
      // The C library keeps what the first thread's stack was.
      step(1);
      const before = footprint(target.process);
      {
        using object = openObject(objectFile('task-storage', compiler));
        for (const name of ['on_visit', 'on_brief_visit']) {
          object.program(name).attachUprobe(target.process, `${target.module.name}:visit`);
        }
        for (const number of [2, 3, 4]) step(number);
        const owns = object.map('owns');
        for (const { key, value } of owns.entries()) {
          if (key !== target.pid) assert.deepEqual({ ...(value as object) }, { calls: 100, thread: key });
        }
        while (owns.entries().length > 1) await sleep(10);
        const [{ key, value }] = owns.entries() as [MapEntry];
        assert.deepEqual([key, { ...(value as object) }], [target.pid, { calls: 3, thread: target.pid }]);
        assert.equal(variable(object.map('.bss').lookup(0)!), 0n);
        assert.deepEqual(object.map('brief').entries(), []);
        assert.equal(owns.update(1, new Uint8Array(16)), -3, 'who begins a value is its thread');
        assert.equal(owns.delete(target.pid), 0);
        assert.equal(owns.lookup(target.pid), undefined);
      }
      assert.deepEqual(footprint(target.process), before);
    });
  });
}

function variable(bytes: Uint8Array): bigint {
  return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
}
