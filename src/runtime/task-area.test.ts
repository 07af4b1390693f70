import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { viewOf } from '../bytes/struct.ts';
import { SLOTS } from '../maps/slots.ts';
import { kernelStructure } from '../object/core-types.ts';
import { NO_KERNEL } from '../object/kernel-facts.ts';
import { readKernel } from '../sys/kernel.ts';
import { readNamespace } from '../sys/process-view.ts';
import { TaskArea } from './task-area.ts';

const ADDRESS = 0x7f00_0000_0000n;

for (const [whose, kernel] of [
  ['of our own', NO_KERNEL],
  ['of the running kernel', readKernel()],
] as const) {
  describe(`the images of task_struct by types ${whose}`, () => {
    const area = new TaskArea(kernel);
    const memory = new Uint8Array(area.size);
    const tasks = area.fill(memory, ADDRESS, process.pid);

    it('lie in the area, each field in its image, no two in one place', () => {
      assert.equal(tasks.firstImage % tasks.stride, 0);
      assert.equal(tasks.size, tasks.firstImage + SLOTS * tasks.stride);
      const ends = [...tasks.stores].sort((a, b) => a.at - b.at);
      for (const [index, { at, size }] of ends.entries()) {
        assert.ok(at % size === 0 && at + size <= (ends[index + 1]?.at ?? tasks.stride));
      }
    });

    it('have every field that is promised', () => {
      // Ten of the thread, nine of the first one, two of its numbers.
      assert.deepEqual([tasks.stores.length, tasks.parent.ids.length], [21, 2]);
      assert.notEqual(tasks.comm, undefined);
    });

    it('lead to the namespaces of the process', () => {
      const offset = (structure: string, ...path: string[]) => kernelStructure(kernel, structure).offsetOf(...path)!;
      const view = viewOf(memory);
      const nsproxy = tasks.stores.find(({ at }) => at === offset('task_struct', 'nsproxy'))!.value;
      assert.ok(nsproxy.is === 'constant');
      const at = Number(nsproxy.value - ADDRESS);
      const mount = Number(view.getBigUint64(at + offset('nsproxy', 'mnt_ns'), true) - ADDRESS);
      const number = view.getUint32(mount + offset('mnt_namespace', 'ns', 'inum'), true);
      assert.equal(BigInt(number), readNamespace(process.pid, 'mnt')!.inode);
    });
  });
}
