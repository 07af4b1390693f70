import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CANNOT_TRACE } from '../../tests/support/entered.ts';
import { compileTarget, stateOf, waitUntil } from '../../tests/support/targets.ts';
import type { ProcessEnd } from '../sys/child-end.ts';
import { ProcessError } from './errors.ts';
import { PreparedCalls } from './prepared-calls.ts';
import { type SpawnedProcess, spawnProcess } from './spawn.ts';

const { SIGKILL, SIGTERM } = constants.signals;

function awaitEnd(spawned: SpawnedProcess): ProcessEnd {
  waitUntil('it has ended', () => spawned.end() !== undefined);
  return spawned.end()!;
}

describe('spawnProcess', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-spawn-'));
  });
  after(() => rmSync(folder, { recursive: true }));

  const file = (name: string, text: string, mode: number): string => {
    const path = join(folder, name);
    writeFileSync(path, text);
    chmodSync(path, mode);
    return path;
  };

  for (const [what, script, end] of [
    ['an exit code', 'exit 42', { code: 42 }],
    ['the signal it died of', 'kill -TERM $$', { signal: SIGTERM }],
  ] as const) {
    it(`tells ${what}, as often as it is asked`, () => {
      using spawned = spawnProcess('sh', ['-c', script]);
      assert.equal(spawned.end(), undefined);
      assert.equal(stateOf(spawned.pid), 't');
      spawned.run();
      assert.deepEqual(awaitEnd(spawned), end);
      assert.deepEqual(spawned.end(), end);
    });
  }

  it('passes the environment it is given, and nothing else', () => {
    using spawned = spawnProcess('/bin/sh', ['-c', 'test "$A" = "b c" && test -z "$HOME"'], {
      environment: { A: 'b c', HOME: undefined },
    });
    spawned.run();
    assert.deepEqual(awaitEnd(spawned), { code: 0 });
  });

  it('stands before constructors with its libraries mapped, each of fifty times', () => {
    const program = compileTarget('early');
    for (let n = 0; n < 50; n++) {
      using spawned = spawnProcess(program);
      const libc = spawned.target.findModule('libc.so.6');
      assert.notEqual(spawned.target.resolveFunction(libc, 'memcpy').address, 0n);
    }
  });

  it('leaves the code as it is in the file', () => {
    using spawned = spawnProcess(compileTarget('early'));
    const { target } = spawned;
    for (const module of target.modules().filter(({ path }) => path !== '[vdso]')) {
      for (const { start, end } of module.mappings.filter(({ permissions }) => permissions === 'r-xp')) {
        const file = module.elf.bytesAt(start - module.bias, Number(end - start));
        assert.equal(Buffer.compare(target.memory.read(start, file.length), file), 0, module.name);
      }
    }
  });

  it('is stopped, and goes on, as it is told to before it runs', () => {
    using spawned = spawnProcess('sh', ['-c', 'exit 3']);
    process.kill(spawned.pid, 'SIGSTOP');
    spawned.target.stopThreads()[Symbol.dispose]();
    spawned.run();
    waitUntil('it is stopped', () => stateOf(spawned.pid) === 'T');
    assert.equal(spawned.end(), undefined);
    spawned.signal('SIGCONT');
    assert.deepEqual(awaitEnd(spawned), { code: 3 });
  });

  it('is killed if it is left before it runs', () => {
    let pid: number;
    {
      using spawned = spawnProcess('true');
      pid = spawned.pid;
    }
    assert.equal(stateOf(pid), undefined);
  });

  it('tells the end also if the stop of its threads was what saw it', () => {
    using spawned = spawnProcess('true');
    const held = spawned.target.stopThreads();
    process.kill(spawned.pid, 'SIGKILL');
    waitUntil('it has ended', () => stateOf(spawned.pid) === 'Z');
    assert.throws(() => {
      using calls = spawned.target.borrow(held, new PreparedCalls(spawned.target.callPlace()));
      calls.call('gettid');
    });
    held[Symbol.dispose]();
    assert.deepEqual(spawned.end(), { signal: SIGKILL });
  });

  it('says why a program cannot be started', () => {
    for (const [command, message] of [
      ['', /it is not in PATH/],
      ['no-such-program', /it is not in PATH/],
      [join(folder, 'none'), /there is no such file/],
      [folder, /it is not a file/],
      [file('data', '#!/bin/sh\n', 0o644), /it may not be executed/],
      [file('text', 'echo no\n', 0o755), /execve fails with ENOEXEC/],
      [file('script', '#!/no/such/interpreter\n', 0o755), /execve fails with ENOENT/],
    ] as const) {
      assert.throws(
        () => spawnProcess(command),
        (error) => error instanceof ProcessError && error.code === 'PROCESS_NOT_STARTED' && message.test(error.message),
        command,
      );
    }
  });
});
