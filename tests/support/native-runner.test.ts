import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Assembler } from '../../src/arch/x64/assembler.ts';
import { absolute, at } from '../../src/arch/x64/memory.ts';
import { Reg } from '../../src/arch/x64/registers.ts';
import { CODE_ADDRESS, type NativeProgram, NativeRunner } from './native-runner.ts';

function program(write: (a: Assembler) => void): NativeProgram {
  const a = new Assembler(CODE_ADDRESS);
  write(a);
  return { code: a.finish(), memory: Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0) };
}

const count = program((a) => {
  a.inc(at(Reg.RDI));
  a.mov(Reg.RAX, Reg.RSI);
  a.ret();
});
const crash = program((a) => a.mov(Reg.RAX, absolute(0n)));
const hang = program((a) => {
  const here = a.label();
  a.bind(here);
  a.jmp(here);
});

describe('the native runner', () => {
  it('runs code on memory, in batches, and outlives what crashes', async () => {
    using runner = new NativeRunner();
    const outcomes = await runner.run([count, crash, count]);
    const counted = { result: 8n, memory: Uint8Array.of(2, 0, 0, 0, 0, 0, 0, 0) };
    assert.deepEqual(outcomes, [counted, { died: 'SIGSEGV' }, counted]);
  });

  it('ends what does not end', async () => {
    using runner = new NativeRunner(1000);
    assert.deepEqual(await runner.run([hang]), [{ died: 'timeout' }]);
  });
});
