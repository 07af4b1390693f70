/** The rules of `remora inject`: what strace understands is understood, and what is not is refused by name. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { exitCodeOf } from './exit-codes.ts';
import { planFaults } from './fault-rule.ts';

const sections = (...rules: readonly string[]): readonly string[] =>
  planFaults(rules).map(({ section }) => section.replace('tracepoint/syscalls/sys_enter_', ''));

describe('planFaults', () => {
  for (const [rule, fault] of [
    ['openat:error=ENOENT', { value: -2n, first: 1, step: 1 }],
    ['openat:error=enoent', { value: -2n, first: 1, step: 1 }],
    ['openat:error=4095', { value: -4095n, first: 1, step: 1 }],
    ['openat:error=EWOULDBLOCK:', { value: -11n, first: 1, step: 1 }],
    ['openat::retval=0x10:when=3', { value: 16n, first: 3, step: 0 }],
    ['openat:retval=010:when=3+', { value: 8n, first: 3, step: 1 }],
    ['openat:when=3+2:retval=-1', { value: -1n, first: 3, step: 2 }],
    ['openat:retval=18446744073709551615:when=2..5', { value: -1n, first: 2, step: 1, last: 5 }],
    ['openat:retval=0:when=2..5+3', { value: 0n, first: 2, step: 3, last: 5 }],
    ['openat:retval=0:when=1:when=2+', { value: 0n, first: 2, step: 1 }],
    ['syscall:openat:retval=0:percent=0.5', { value: 0n, first: 1, step: 1, percent: 0.5 }],
  ] as const) {
    it(`reads ${rule}`, () => {
      const [{ value, first, step, last, percent } = assert.fail()] = planFaults([rule]);
      const read = { value: BigInt.asIntN(64, value), first, step, ...(last && { last }), ...(percent && { percent }) };
      assert.deepEqual(read, fault);
    });
  }

  for (const [set, wanted] of [
    ['read,write', ['read', 'write']],
    ['257', ['openat']],
    ['?nothing,read@64', ['read']],
    ['/^epoll_create', ['epoll_create', 'epoll_create1']],
    ['%%statfs', ['statfs', 'fstatfs', 'ustat']],
    ['%net,read,read', undefined],
    ['none', []],
  ] as const) {
    it(`knows the calls in ${set}`, () => {
      const found = sections(`${set}:error=EIO`);
      if (wanted !== undefined) assert.deepEqual(found, wanted);
      else assert.deepEqual([found.includes('accept4'), found.filter((name) => name === 'read').length], [true, 1]);
    });
  }

  it('leaves out of larger sets what never comes back', () => {
    for (const set of ['all', '%process', '!read']) {
      const found = sections(`${set}:error=EIO`);
      assert.ok(found.includes('execve'), set);
      for (const name of ['exit', 'exit_group', 'rt_sigreturn']) assert.ok(!found.includes(name), name);
    }
  });

  it('takes the last of several rules for one call', () => {
    const planned = planFaults(['openat,read:error=1', 'openat:error=2']);
    assert.deepEqual(
      planned.map(({ rule, call }) => [rule, call]),
      [
        ['openat,read:error=1', 0],
        ['openat:error=2', 257],
      ],
    );
  });

  it('knows functions, with colons in their names too', () => {
    assert.deepEqual(sections('libc:malloc:return=0', 'uprobe:libx.so:a::b:return=-1:when=1'), [
      'uprobe.override/libc:malloc',
      'uprobe.override/libx.so:a::b',
    ]);
  });

  for (const [rule, code, message] of [
    ['openat', 2, /does not say how/],
    ['openat:when=3', 2, /does not say how/],
    ['openat:error=ENOSUCH', 2, /'ENOSUCH' is no error/],
    ['openat:error=0', 2, /is no error/],
    ['openat:error=4096', 2, /is no error/],
    ['openat:error=EIO:retval=1', 2, /says twice/],
    ['openat:error=EIO:when=0', 2, /FIRST\[\.\.LAST\]/],
    ['openat:error=EIO:when=3..2', 2, /ends before it begins/],
    ['openat:error=EIO:when=1+0', 2, /FIRST\[\.\.LAST\]/],
    ['openat:error=EIO:percent=101', 2, /is no share/],
    ['openat:error=EIO:color=red', 2, /there is no 'color=red'/],
    ['openat:error=EIO:signal=USR1', 5, /signal is not in this version/],
    ['openat:delay_enter=5', 5, /delay_enter is not in this version/],
    [':error=EIO', 2, /what is to fail.*libc:malloc:return=0/],
    ['malloc:return=0', 4, /'malloc'.*if a function is meant.*libc:malloc:return=VALUE/],
    ['opennat:error=EIO', 4, /'opennat'.*did you mean 'openat'/],
    ['%fiel:error=EIO', 4, /no such class.*%file/],
    ['/^nothing$:error=EIO', 4, /no name matches/],
    ['exit_group:error=EIO', 2, /exit_group cannot fail/],
    ['libc:malloc:error=ENOMEM', 2, /functions fail by what they return.*return=VALUE/],
    ['libc:*alloc:return=0', 2, /by its whole name/],
  ] as const) {
    it(`refuses ${rule} with exit code ${code}`, () => {
      assert.throws(
        () => planFaults([rule]),
        (error: Error & { fix?: string }) =>
          exitCodeOf(error) === code && message.test(`${error.message} ${error.fix}`),
      );
    });
  }
});
