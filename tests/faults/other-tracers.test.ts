/** K6: gdb and strace want the same threads. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { readStatus, readThreadIds } from '../../src/sys/proc.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { waitUntil } from '../support/targets.ts';

const tracersOf = (pid: number): readonly number[] => readThreadIds(pid).map((tid) => readStatus(tid).tracer);

/** Runs strace on a process while `body` runs; it lets go of the process at the end. */
async function underStrace(pid: number, body: (strace: number) => void): Promise<void> {
  const strace = spawn('strace', ['-f', '-e', 'trace=none', '-o', '/dev/null', '-p', `${pid}`], { stdio: 'ignore' });
  const exit = once(strace, 'exit');
  waitUntil('it traces', () => tracersOf(pid).every((tracer) => tracer === strace.pid));
  try {
    body(strace.pid!);
  } finally {
    strace.kill('SIGINT');
    await exit;
    waitUntil('it has let go', () => tracersOf(pid).every((tracer) => tracer === 0));
  }
}

describe('a process that others trace', { skip: CANNOT_TRACE }, () => {
  it('K6: strace: who comes second is told who is there, and nothing is changed', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    using object = openObject(objectFile('count'));
    const attach = () => object.program('on_call').attachUprobe(target, 'calls:work');
    await underStrace(calls.pid, (strace) => {
      assert.throws(attach, { code: 'PROCESS_TRACED', message: new RegExp(`${strace}`) });
      assert.deepEqual({ ...footprint(target), status: 0 }, { ...before, status: 0 });
      calls.call(10);
    });
    const link = attach();
    calls.call(50);
    await underStrace(calls.pid, () => {
      calls.call(50);
      assert.throws(() => link.detach(), { code: 'PROCESS_TRACED' });
      calls.call(50);
      assert.equal(link.hits, 300n);
    });
    link.detach();
    object[Symbol.dispose]();
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });

  it('K6: gdb comes and goes while a function is probed: it shows the function called, and both go on', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    {
      using object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(target, 'calls:work');
      calls.start();
      const from = link.hits;
      const commands = ['info threads', 'thread apply all backtrace', 'detach'].flatMap((line) => ['-ex', line]);
      // It cannot look through code that no file tells of: it comes until it meets a thread elsewhere.
      const look = (): string => {
        const gdb = spawnSync('gdb', ['-nx', '-batch', '-p', `${calls.pid}`, ...commands], { encoding: 'utf8' });
        assert.equal(gdb.status, 0, gdb.stderr);
        return gdb.stdout;
      };
      const looks = 30;
      assert.ok(
        Array.from({ length: looks }).some(() => look().includes('caller')),
        `not in ${looks} looks`,
      );
      waitUntil('it is counted on', () => link.hits > from + 1000n);
      calls.stop();
      assert.equal(link.hits, calls.total);
    }
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });
});
