import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseSyscall } from './private-data.ts';

describe('parseSyscall', () => {
  for (const [text, form, when, number] of [
    ['syscalls/sys_enter_openat', 'syscalls', 'enter', 257],
    ['syscalls:sys_exit_read', 'syscalls', 'exit', 0],
    ['raw_syscalls/sys_enter', 'raw_syscalls', 'enter', undefined],
    ['raw_syscalls:sys_exit', 'raw_syscalls', 'exit', undefined],
    ['sys_enter', 'raw', 'enter', undefined],
    ['sys_exit', 'raw', 'exit', undefined],
    ['getpid', 'name', 'enter', 39],
    ['_sysctl', 'name', 'enter', 156],
  ] as const) {
    it(`reads ${text}`, () => {
      const data = parseSyscall(text);
      assert.deepEqual([data.event, `${data}`], [{ form, when, number }, text]);
    });
  }

  for (const text of [
    '',
    'sched/sched_switch',
    'syscalls/sys_enter_',
    'syscalls/open',
    'raw_syscalls/sys_enter_read',
  ]) {
    it(`refuses '${text}'`, () => {
      assert.throws(
        () => parseSyscall(text),
        (error: Error & { code?: string }) => error.code === 'ATTACH_BAD_TARGET',
      );
    });
  }
});
