/** The child of native-runner.ts: runs what it is sent, and may die of it. */
import { ExecutableMemory } from '../../src/sys/executable-memory.ts';
import { CODE_ADDRESS, CODE_SIZE, type NativeProgram, type NativeResult } from './native-runner.ts';

const place = new ExecutableMemory(CODE_SIZE, CODE_ADDRESS);

process.on('message', (batch: NativeProgram[]) => {
  const results = batch.map(({ code, memory }): NativeResult => ({ result: place.run(code, memory), memory }));
  process.send?.(results);
});
