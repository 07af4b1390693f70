import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { SYSCALL_NUMBERS, syscallNumber } from './names.ts';

describe('the names of system calls', () => {
  it('are those of the C library, number by number', () => {
    const { stdout } = spawnSync('gcc', ['-dM', '-E', '-'], { input: '#include <asm/unistd_64.h>', encoding: 'utf8' });
    const defined = [...stdout.matchAll(/^#define __NR_(\w+) (\d+)$/gm)];
    assert.ok(defined.length > 300, 'the C library has names');
    for (const [, name, number] of defined) assert.equal(SYSCALL_NUMBERS.get(name!), Number(number), name);
  });

  for (const [name, number] of [
    ['read', 0],
    ['newfstat', 5],
    ['fstat', 5],
    ['umount', 166],
    ['sendfile64', 40],
    ['newuname', 63],
    ['uprobe', 336],
    ['pidfd_send_signal', 424],
    ['clone3', 435],
    ['file_setattr', 469],
  ] as const) {
    it(`say that ${name} is ${number}`, () => assert.equal(syscallNumber(name), number));
  }

  it('are suggested where one is misspelt', () => {
    assert.throws(
      () => syscallNumber('opennat'),
      (error: Error & { code?: string; fix?: string }) =>
        error.code === 'ATTACH_NO_SYSCALL' && /did you mean 'openat'/.test(error.fix ?? ''),
    );
  });
});
