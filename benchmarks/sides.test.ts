import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readObject } from '../src/object/read-object.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { SyscallError } from './kernel/syscall.ts';
import { kernelSide } from './kernel-side.ts';
import { remoraSide } from './remora-side.ts';
import { type Attachment, servesAll } from './side.ts';
import { OBJECT_PATH, WORKLOADS } from './workloads.ts';

for (const side of [remoraSide(OBJECT_PATH), kernelSide(readObject(readFileSync(OBJECT_PATH)))]) {
  describe(`the ${side.name} side`, () => {
    for (const { probes, label, leaves, functions, threads } of WORKLOADS) {
      if (!servesAll(side, probes)) continue;
      it(`runs at every call: ${label}`, async (test) => {
        using binary = new TargetBinary();
        using target = await BenchTarget.start(binary.path);
        for (const { symbol } of functions) {
          let attachment: Attachment;
          try {
            attachment = side.attach(probes, target, symbol);
          } catch (error) {
            if (!(error instanceof SyscallError) || !['EPERM', 'EACCES', 'ENOSYS'].includes(error.errno)) throw error;
            return test.skip(error.message);
          }
          using _ = attachment;
          let calls = 0;
          for (const count of threads) {
            calls += (await target.measure(symbol, 1, count)).calls;
            const runs = BigInt(calls * probes.length);
            assert.equal(attachment.hits() ?? runs, runs);
            if (leaves) assert.equal(attachment.sum(leaves.map), BigInt(leaves.sum(calls)));
          }
        }
      });
    }
  });
}
