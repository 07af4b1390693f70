import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { readObject } from '../src/object/read-object.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { SyscallError } from './kernel/syscall.ts';
import { kernelSide } from './kernel-side.ts';
import type { Attachment } from './side.ts';
import { FUNCTIONS, OBJECT_PATH, WORKLOADS } from './workloads.ts';

describe('the kernel side', () => {
  const side = kernelSide(readObject(readFileSync(OBJECT_PATH)));
  for (const { program, label, leaves } of WORKLOADS) {
    it(`runs every call through: ${label}`, async (test) => {
      using binary = new TargetBinary();
      using target = await BenchTarget.start(binary.path);
      let attachment: Attachment;
      try {
        attachment = side.attach(program, target, FUNCTIONS[0]!.symbol);
      } catch (error) {
        if (!(error instanceof SyscallError) || !['EPERM', 'EACCES', 'ENOSYS'].includes(error.errno)) throw error;
        return test.skip(error.message);
      }
      using _ = attachment;
      const { calls } = await target.measure(FUNCTIONS[0]!.symbol, 1);
      if (leaves) assert.equal(attachment.sum(leaves.map), BigInt(leaves.sum(calls)));
    });
  }
});
