import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readObject } from '../src/object/read-object.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { SyscallError } from './kernel/syscall.ts';
import { kernelSide } from './kernel-side.ts';
import { remoraSide } from './remora-side.ts';
import type { Attachment } from './side.ts';
import { FUNCTIONS, OBJECT_PATH, WORKLOADS } from './workloads.ts';

for (const side of [remoraSide(OBJECT_PATH), kernelSide(readObject(readFileSync(OBJECT_PATH)))]) {
  describe(`the ${side.name} side`, () => {
    for (const { program, label, leaves } of WORKLOADS) {
      it(`runs at every call: ${label}`, async (test) => {
        using binary = new TargetBinary();
        using target = await BenchTarget.start(binary.path);
        for (const { symbol } of FUNCTIONS) {
          let attachment: Attachment;
          try {
            attachment = side.attach(program, target, symbol);
          } catch (error) {
            if (!(error instanceof SyscallError) || !['EPERM', 'EACCES', 'ENOSYS'].includes(error.errno)) throw error;
            return test.skip(error.message);
          }
          using _ = attachment;
          const { calls } = await target.measure(symbol, 1);
          assert.equal(attachment.hits() ?? BigInt(calls), BigInt(calls));
          if (leaves) assert.equal(attachment.sum(leaves.map), BigInt(leaves.sum(calls)));
        }
      });
    }
  });
}
