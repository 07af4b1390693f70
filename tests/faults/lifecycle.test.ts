/** Targets that stop, end, exec or sleep while a controller is at work. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { objectFile } from '../support/objects.ts';
import { compileTarget, startTarget, stateOf, waitUntil } from '../support/targets.ts';

const CONTROLLER = join(import.meta.dirname, '..', 'support', 'session-controller.js');

describe('a target that does not stand by', { skip: CANNOT_TRACE }, () => {
  it('C7: stays stopped by SIGSTOP while probes come and go, and is counted once it goes on', () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    const before = footprint(target);
    {
      using object = openObject(objectFile('count'));
      process.kill(calls.pid, 'SIGSTOP');
      waitUntil('it is stopped', () => stateOf(calls.pid) === 'T');
      const link = object.program('on_call').attachUprobe(target, 'calls:work');
      // Let go, it runs as far as where it stops again.
      waitUntil('it stands', () => stateOf(calls.pid) === 'T');
      process.kill(calls.pid, 'SIGCONT');
      calls.call(100);
      assert.equal(link.hits, 200n);
      process.kill(calls.pid, 'SIGSTOP');
      waitUntil('it is stopped', () => stateOf(calls.pid) === 'T');
      link.detach();
      waitUntil('it stands', () => stateOf(calls.pid) === 'T');
    }
    process.kill(calls.pid, 'SIGCONT');
    calls.call(10);
    assert.deepEqual(footprint(target), before);
    assert.equal(calls.wrong, 0n);
  });

  it('D3: replaces its program while it is probed: the new one is not touched, and detaching is quiet', () => {
    using entered = new EnteredTarget('exec');
    using object = openObject(objectFile('count'));
    object.program('on_call').attachUprobe(entered.process, 'libc.so.6:execl');
    entered.set('go', 1);
    waitUntil('it has replaced its program', () => entered.process.isGone());
    object.detachAll();
    object[Symbol.dispose]();
    using again = openProcess(entered.pid);
    assert.ok(!again.mappings().some(({ path }) => path.includes('memfd:remora')));
    const fresh = startTarget(compileTarget('exec'));
    try {
      const hashesOf = (pid: number): string[] =>
        Object.entries(codeHashes(pid)).flatMap(([name, hash]) => (name.includes('[vdso]') ? [] : [hash]));
      assert.deepEqual(hashesOf(entered.pid), hashesOf(fresh.pid));
    } finally {
      fresh.stop();
    }
  });

  it('D4: is killed at any moment of a session: the controller ends, and in time', async () => {
    for (const delay of [0, 40, 80, 120, 160, 200, 240]) {
      using calls = new CallsTarget(2);
      const places = ['uprobe:calls:work', 'uretprobe:calls:work_push', 'uprobe:calls:work_keyed'];
      const controller = spawn(process.execPath, [CONTROLLER, `${calls.pid}`, ...places], {
        stdio: ['ignore', 'ignore', 'pipe'],
      });
      let said = '';
      controller.stderr.on('data', (text) => {
        said += text;
      });
      setTimeout(() => calls.target.stop(), delay);
      const [code, signal] = await once(controller, 'close', { signal: AbortSignal.timeout(20_000) });
      assert.equal(signal, null, said);
      // Where it fails it says that the target has ended, in whichever way it noticed.
      if (code !== 0) assert.match(said, /PROCESS_|SYS_|INJECT_/);
    }
  });

  it('F8: sleeps in a function whose return is probed: it is let go of at once, and wakes in time', () => {
    using entered = new EnteredTarget('sleeper', ['nanosleep']);
    const before = footprint(entered.process);
    for (let round = 0; round < 3; round++) {
      const object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUretprobe(entered.process, 'libc:clock_nanosleep');
      waitUntil('it returns once', () => link.hits > 0n);
      object[Symbol.dispose]();
      assert.deepEqual(footprint(entered.process), before);
    }
    const waits = entered.counter('waits');
    waitUntil('it wakes', () => entered.counter('waits') > waits + 1n);
    assert.deepEqual([entered.counter('spurious'), entered.counter('too_short')], [0n, 0n]);
  });
});
