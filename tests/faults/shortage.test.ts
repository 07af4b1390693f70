/** Controllers that run out of something, are kept from looking, or share their target with a debugger. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { detachSessions, openObject, openProcess } from '../../src/index.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { CLI } from '../support/cli.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { repetitions } from '../support/long-form.ts';
import { objectFile } from '../support/objects.ts';
import { isCounted, OddTarget } from '../support/odd-target.ts';
import { compileTarget, waitUntil } from '../support/targets.ts';
import { lacks } from '../support/tools.ts';

const SUPPORT = join(import.meta.dirname, '..', 'support');

describe('a controller that is short of something', { skip: CANNOT_TRACE }, () => {
  for (const [what, how, size] of [
    ['F4: whose calls fail, each once', 'calls', repetitions(23, 1)],
    ['F4: that has no descriptors left, or a few', 'descriptors', repetitions(5, 16)],
  ] as const) {
    it(`${what}: it does what it should, or says why not and leaves nothing`, () => {
      using calls = new CallsTarget(2);
      calls.start();
      const args = [
        '--nofile=1024',
        process.execPath,
        join(SUPPORT, 'failing-controller.js'),
        `${calls.pid}`,
        how,
        `${size}`,
      ];
      const { status, stdout, stderr } = spawnSync('prlimit', args, { encoding: 'utf8', timeout: 600_000 });
      assert.equal(status, 0, stderr);
      const { worked, failed } = JSON.parse(stdout);
      assert.ok(worked > 0 && failed > 0, stdout);
      calls.stop();
      assert.equal(calls.wrong, 0n);
      assert.ok(calls.target.isRunning());
    });
  }

  it('F7: that is kept from reading for a while loses no event there was room for, and counts the others', async () => {
    using calls = new CallsTarget(2);
    using target = openProcess(calls.pid);
    using object = openObject(objectFile('events'));
    const link = object.program('on_sample').attachUprobe(target, 'calls:work');
    const { events } = object.map('samples');
    let seen = 0;
    const read = (): void => {
      seen += events!.consume(() => {});
    };
    const timer = setInterval(read, 1);
    // While it waits for the calls nothing else of this program runs.
    calls.call(100);
    assert.equal(seen, 0);
    await sleep(5);
    read();
    assert.deepEqual([seen, events!.lost], [200, 0n]);
    calls.call(50_000);
    assert.equal(seen, 200);
    await sleep(5);
    read();
    clearInterval(timer);
    assert.ok(events!.lost > 0n);
    assert.equal(BigInt(seen) + events!.lost, link.hits);
    assert.equal(link.hits, 100_200n);
    assert.equal(calls.wrong, 0n);
  });
});

describe('a controller that is killed in the middle of a call it has the target make', { skip: CANNOT_TRACE }, () => {
  it('F2: at each of its calls around it: the thread comes back by itself, and what the call gave is not left', () => {
    using entered = new EnteredTarget('sleeper', ['nanosleep']);
    const before = footprint(entered.process);
    const points = repetitions(12, 60);
    for (let point = 1; point <= points; point++) {
      const args = [
        '--import',
        join(SUPPORT, 'kill-at-call.js'),
        join(SUPPORT, 'short-controller.js'),
        `${entered.pid}`,
      ];
      const run = spawnSync(process.execPath, args, { env: { ...process.env, KILL_AT: String(4 * point) } });
      assert.ok(run.signal === 'SIGKILL' || run.status === 0);
      const waits = entered.counter('waits');
      waitUntil('the thread goes on', () => entered.counter('waits') > waits + 1n, 20_000);
      detachSessions(entered.pid, () => true);
      assert.deepEqual(footprint(entered.process), before);
    }
    assert.equal(entered.counter('too_short'), 0n);
  });
});

describe('a target that a debugger looks at', { skip: CANNOT_TRACE || lacks('gdb') }, () => {
  /** What gdb prints for `commands`, without what the user has told it to do always. */
  const gdb = (pid: number, ...commands: readonly string[]): string => {
    const args = ['-nx', '-batch', '-p', `${pid}`, ...commands.flatMap((command) => ['-ex', command])];
    const { status, stdout, stderr, error } = spawnSync('gdb', args, { encoding: 'utf8', timeout: 60_000 });
    assert.equal(status, 0, `${error?.message ?? ''}${stderr}`);
    return stdout;
  };

  it('D9: is attached to by gdb while it is probed, and stopped at the probed function: both go on', () => {
    using odd = new OddTarget(['plain']);
    {
      using target = openProcess(odd.pid);
      using object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(target, 'odd:work');
      odd.call(1000);
      assert.match(gdb(odd.pid, 'info symbol work', 'print calls', 'bt'), /go_on/);
      odd.call(1000);
      assert.equal(link.hits, 2000n);
    }
    assert.deepEqual(odd.footprint(), odd.before);
    isCounted(odd);
  });

  it('D9: leaves a core that says where it was', () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-core-'));
    using odd = new OddTarget(['plain']);
    {
      using target = openProcess(odd.pid);
      using object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(target, 'odd:work');
      odd.call(1000);
      const core = join(folder, 'core');
      gdb(odd.pid, `generate-core-file ${core}`);
      assert.ok(existsSync(core));
      const args = [
        '-nx',
        '-batch',
        '-ex',
        'print calls',
        '-ex',
        'print wrong',
        '-ex',
        'bt',
        compileTarget('odd'),
        core,
      ];
      const { stdout } = spawnSync('gdb', args, { encoding: 'utf8', timeout: 60_000 });
      assert.match(stdout, /\$1 = 1000\n\$2 = 0\n/);
      assert.match(stdout, /go_on .*odd\.c/);
      odd.call(1000);
      assert.equal(link.hits, 2000n);
    }
    assert.deepEqual(odd.footprint(), odd.before);
    rmSync(folder, { recursive: true });
  });

  it('D9: is not attached to while gdb holds it, and told who does', () => {
    using odd = new OddTarget(['plain']);
    using target = openProcess(odd.pid);
    using object = openObject(objectFile('count'));
    const said = gdb(odd.pid, `shell ${process.execPath} ${CLI} doctor ${odd.pid}; true`);
    assert.match(
      said,
      /error: cannot enter process \d+ \(odd\): another program traces it\nwhy: {3}its tracer is process \d+ \(gdb\)/,
    );
    const link = object.program('on_call').attachUprobe(target, 'odd:work');
    odd.call(10);
    assert.equal(link.hits, 10n);
  });
});
