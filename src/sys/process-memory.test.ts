import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isSysError, SysError } from './errors.ts';
import { readMaps } from './proc-maps.ts';
import { ProcessMemory } from './process-memory.ts';

describe('memory through /proc/PID/mem', () => {
  const header = readMaps(process.pid).find(({ path, offset }) => path.endsWith('/node') && offset === 0)!;

  it('reads', () => {
    using memory = new ProcessMemory(process.pid);
    assert.deepEqual([...memory.read(header.start, 4)], [0x7f, 0x45, 0x4c, 0x46]);
    assert.equal(memory.isGone(), false);
  });

  it('reads up to where memory ends', () => {
    using memory = new ProcessMemory(process.pid);
    const stack = readMaps(process.pid).find(({ path }) => path === '[stack]')!;
    assert.equal(memory.readUpTo(stack.end - 16n, 4096).length, 16);
    assert.throws(() => memory.read(stack.end - 16n, 4096), SysError);
  });

  it('tells of addresses where nothing is', () => {
    using memory = new ProcessMemory(process.pid);
    assert.throws(
      () => memory.read(4096n, 8),
      (e) => isSysError(e, 'SYS_EIO'),
    );
    assert.throws(
      () => memory.write(4096n, new Uint8Array(8)),
      (e) => isSysError(e, 'SYS_EIO'),
    );
  });

  it('is not there for a process that is not', () => {
    assert.throws(
      () => new ProcessMemory(0x7fff_fff0),
      (e) => isSysError(e, 'SYS_ENOENT'),
    );
  });

  it('is harmless to close twice', () => {
    const memory = new ProcessMemory(process.pid);
    memory[Symbol.dispose]();
    memory[Symbol.dispose]();
  });
});
