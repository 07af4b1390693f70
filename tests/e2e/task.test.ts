/** What programs see of the task they run in, through the kernel's structures and by helpers, beside what /proc says of it. */
import assert from 'node:assert/strict';
import { statSync } from 'node:fs';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { readProcText, readStartTime, readThreadIds } from '../../src/sys/proc.ts';
import { readCgroupId } from '../../src/sys/process-view.ts';
import { COMPILERS, objectFile } from '../support/objects.ts';
import { compileTarget, startTarget, waitUntil } from '../support/targets.ts';

const TICK_NS = 10_000_000n;

describe('the current task', () => {
  for (const compiler of COMPILERS) {
    it(`is as /proc tells, for each of the threads: ${compiler}`, () => {
      using running = startTarget(compileTarget('named'));
      using target = openProcess(running.pid);
      using object = openObject(objectFile('task', compiler));
      object.program('on_touch').attachUprobe(target, 'named:touch');
      const entries = () => object.map('threads').entries();
      waitUntil('both threads were seen', () => entries().length === 2, 20_000);

      const inode = (kind: string) => Number(statSync(`/proc/${running.pid}/ns/${kind}`).ino);
      const group = Number(readCgroupId(running.pid));
      const shared = {
        tgid: running.pid,
        parent: Number(/^PPid:\s+(\d+)$/m.exec(readProcText(`/proc/${running.pid}/status`))?.[1]),
        leader: running.pid,
        mnt: inode('mnt'),
        pidns: inode('pid'),
        level: 0,
        start: Number(readStartTime(running.pid) * TICK_NS),
        group,
        own_group: group,
        uid_gid: 0,
        beyond: -14,
      };
      const [first, second] = [...readThreadIds(running.pid)].sort((a, b) => a - b) as [number, number];
      assert.deepEqual(
        entries()
          .sort((a, b) => (a.key as number) - (b.key as number))
          .map(({ key, value }) => ({ key, value: { ...(value as object) } })),
        [
          { key: first, value: { pid: first, number: first, comm: 'first', ...shared } },
          { key: second, value: { pid: second, number: second, comm: 'second', ...shared } },
        ],
      );
    });
  }
});
