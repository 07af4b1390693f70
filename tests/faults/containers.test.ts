/** Targets in namespaces and roots of their own, and those whose files mean harm. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { BpfError, detachSessions, openObject, openProcess } from '../../src/index.ts';
import { CLI, jsonLines, remora } from '../support/cli.ts';
import { ContainerRoot, INSIDE } from '../support/container.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { objectFile, objectPath } from '../support/objects.ts';
import { isCounted, OddTarget } from '../support/odd-target.ts';
import { childOf, compileTarget, waitUntil } from '../support/targets.ts';
import { lacks } from '../support/tools.ts';

const ASKED = join(import.meta.dirname, '..', 'support', 'asked-controller.js');
const READER = join(import.meta.dirname, '..', 'support', 'module-reader.js');

describe('a target in a container', { skip: CANNOT_TRACE }, () => {
  for (const [what, letters] of [
    ['I18: in a root of its own', ''],
    ['I18: in a network namespace', 'n'],
    ['I18: in a pid namespace', 'p'],
    ['I18: in a mount namespace, with a read-only root and no /proc', 'm'],
    ['I18: in a user namespace', 'um'],
    ['I18: in all of them', 'upmn'],
  ] as const) {
    it(`${what} works, by the paths it has there`, () => {
      using root = new ContainerRoot();
      using odd = root.start(letters);
      isCounted(odd, `${INSIDE}/odd:work`);
      isCounted(odd);
    });
  }

  it('I18: is looked at, attached to and cleaned from the command line', async () => {
    using root = new ContainerRoot();
    using odd = root.start('upmn');
    const doctor = await remora(['doctor', `${odd.pid}`, '--json']);
    const [report] = jsonLines(doctor.stdout) as Record<string, unknown>[];
    assert.deepEqual([report?.may_attach, report?.namespace_pid, report?.arch], [true, 1, 'x86-64']);
    const place = `on_call=uprobe:${INSIDE}/odd:work`;
    const args = ['load', objectPath('count'), '-p', `${odd.pid}`, '--attach', place, '--duration', '10ms', '--json'];
    const load = await remora(args);
    assert.equal(load.code, 0, load.stderr);
    assert.deepEqual(odd.footprint(), odd.before);
  });

  it('I18: finds a file through links of the container that lead from its root, not from ours', () => {
    using root = new ContainerRoot();
    mkdirSync(join(root.path, 'links'));
    symlinkSync(INSIDE, join(root.path, 'links/folder'));
    symlinkSync('/../../../..', join(root.path, 'links/out'));
    using odd = root.start('m');
    using target = openProcess(odd.pid);
    assert.equal(target.findModule('/links/folder/odd').name, 'odd');
    assert.equal(target.findModule(`/links/out${INSIDE}/odd`).name, 'odd');
    assert.equal(target.findModule(join(root.path, INSIDE, 'odd')).name, 'odd');
    assert.ok(target.findModule(`${INSIDE}/odd`).elf.findSymbol('work') !== undefined);
  });

  it('L13: is entered without entering its namespaces, and nothing it names is opened outside of its root', {
    skip: lacks('strace'),
  }, () => {
    using root = new ContainerRoot();
    symlinkSync('/etc/passwd', join(root.path, 'trap.so'));
    using odd = root.start('upmn');
    const log = join(root.path, 'calls');
    const watched = 'trace=setns,chroot,chdir,fchdir,pivot_root,mount,execve,open,openat,openat2,%stat,%lstat,readlink';
    const place = `on_call=uprobe:${INSIDE}/odd:work`;
    const args = ['load', objectPath('count'), '-p', `${odd.pid}`, '--attach', place, '--duration', '10ms'];
    const run = spawnSync('strace', ['-f', '-qq', '-o', log, '-e', watched, process.execPath, CLI, ...args], {
      encoding: 'utf8',
      timeout: 60_000,
    });
    assert.equal(run.status, 0, run.error?.message ?? run.stderr);
    const calls = readFileSync(log, 'latin1').split('\n');
    assert.ok(calls.some((call) => call.includes(`"/proc/${odd.pid}/`)));
    const entering = calls.filter((call) => /\b(setns|chroot|chdir|fchdir|pivot_root|mount|execve)\(/.test(call));
    assert.deepEqual(entering.slice(1), [], 'only the controller itself is executed');
    const inside = calls.filter((call) => call.includes(INSIDE) && !/RESOLVE_IN_ROOT|"\/proc\//.test(call));
    // Names that it was told stand in its arguments, and are looked for in our own root too.
    assert.deepEqual(
      inside.filter((call) => !/execve|= -1 ENOENT/.test(call)),
      [],
    );
    assert.ok(!calls.some((call) => call.includes('/etc/passwd') || call.includes('trap.so')));
    assert.deepEqual(odd.footprint(), odd.before);
  });
});

describe('a target whose files mean harm', { skip: CANNOT_TRACE }, () => {
  const NO_ELF = 'x'.repeat(4096);
  const OURS = { odd: 'read', 'libc.so.6': 'read' };

  /** Files that are mapped as code, what gets their names then, and what comes of reading them: for root, and for others. */
  const HOSTILE: readonly {
    readonly name: string;
    readonly size?: number;
    readonly replaceBy?: (path: string) => readonly string[];
    readonly forRoot: string;
    readonly forOthers: string;
  }[] = [
    {
      name: 'pipe.so',
      replaceBy: (path) => ['mkfifo', path],
      forRoot: 'ELF_BAD_MAGIC',
      forOthers: 'PROCESS_MODULE_UNREADABLE',
    },
    {
      name: 'link.so',
      replaceBy: (path) => ['ln', '-s', '/bin/true', path],
      forRoot: 'ELF_BAD_MAGIC',
      forOthers: 'PROCESS_MODULE_UNREADABLE',
    },
    {
      name: 'other.so',
      replaceBy: (path) => ['cp', '/bin/true', path],
      forRoot: 'ELF_BAD_MAGIC',
      forOthers: 'PROCESS_MODULE_UNREADABLE',
    },
    {
      name: 'device.so',
      replaceBy: (path) => ['mknod', path, 'c', '1', '5'],
      forRoot: 'ELF_BAD_MAGIC',
      forOthers: 'PROCESS_MODULE_UNREADABLE',
    },
    {
      name: 'sparse.so',
      size: 100 * 2 ** 30,
      forRoot: 'PROCESS_MODULE_UNREADABLE',
      forOthers: 'PROCESS_MODULE_UNREADABLE',
    },
    { name: 'small.so', forRoot: 'ELF_BAD_MAGIC', forOthers: 'ELF_BAD_MAGIC' },
  ];

  for (const [what, prefix, who] of [
    ['L6: root is', [], 'forRoot'],
    ['L6: a user without rights is', ['setpriv', '--bounding-set=-all', '--inh-caps=-all'], 'forOthers'],
  ] as const) {
    it(`${what} not kept waiting, nor given other files than are mapped, nor one without end`, () => {
      const folder = mkdtempSync(join(tmpdir(), 'remora-hostile-'));
      const paths = HOSTILE.map(({ name }) => join(folder, name));
      HOSTILE.forEach(({ size }, n) => {
        writeFileSync(paths[n]!, NO_ELF);
        if (size !== undefined) truncateSync(paths[n]!, size);
      });
      using odd = new OddTarget(['maps', '/dev/zero', ...paths], { command: [...prefix, compileTarget('odd')] });
      HOSTILE.forEach(({ replaceBy }, n) => {
        if (replaceBy === undefined) return;
        rmSync(paths[n]!);
        const [command, ...args] = replaceBy(paths[n]!);
        assert.equal(spawnSync(command!, args).status, 0);
      });
      const before = odd.footprint();
      const [command, ...args] = [...prefix, process.execPath, READER, String(odd.pid)];
      const { stdout, stderr } = spawnSync(command!, args, { encoding: 'utf8', timeout: 30_000 });
      const { 'ld-linux-x86-64.so.2': _linker, '[vdso]': _vdso, zero, ...outcomes } = JSON.parse(stdout || stderr);
      assert.deepEqual(outcomes, { ...OURS, ...Object.fromEntries(HOSTILE.map((file) => [file.name, file[who]])) });
      // Where /dev may not hold code it is not mapped.
      if (zero !== undefined) assert.equal(zero, 'PROCESS_MODULE_UNREADABLE');
      assert.deepEqual(odd.footprint(), before);
      odd.call(100);
      rmSync(folder, { recursive: true });
    });
  }
});

describe('a target that changes what it is', { skip: CANNOT_TRACE }, () => {
  for (const [what, act] of [
    ['is not dumpable any more', 1n],
    ['becomes another user', 2n],
    ['enters a user namespace', 3n],
    ['gives up its capabilities', 4n],
  ] as const) {
    it(`D10: ${what} while it is probed: root counts on, and leaves it as it was`, () => {
      using odd = new OddTarget(['plain']);
      using target = openProcess(odd.pid);
      const object = openObject(objectFile('count'));
      const link = object.program('on_call').attachUprobe(target, 'odd:work');
      odd.call(1000);
      odd.set('act', act);
      waitUntil('it has changed', () => odd.get('acted') !== 0n);
      assert.equal(odd.get('acted'), 1n);
      odd.call(1000);
      assert.equal(link.hits, 2000n);
      object[Symbol.dispose]();
      assert.deepEqual(odd.footprint(), odd.before);
      odd.call(100);
      assert.equal(odd.get('wrong'), 0n);
    });
  }

  const WITHOUT_RIGHTS = ['setpriv', '--bounding-set=-all', '--inh-caps=-all'] as const;

  /** Attaches without rights, has the target change, and detaches: what the controller says then. */
  async function detachAfter(odd: OddTarget, change: () => void): Promise<Record<string, unknown>> {
    const [command, ...args] = [...WITHOUT_RIGHTS, process.execPath, ASKED, String(odd.pid), 'uprobe:odd:work'];
    const controller = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    const said = text(
      controller.stdout.on('data', function attached() {
        controller.stdout.off('data', attached);
        change();
        controller.stdin.end('\n');
      }),
    );
    const answer = (await said).split('\n')[1];
    return JSON.parse(answer || '{}');
  }

  it('D10: is not dumpable any more: a controller without rights says that it may not detach, and its probes go quiet', async () => {
    using odd = new OddTarget(['plain'], { command: [...WITHOUT_RIGHTS, compileTarget('odd')] });
    const { hits, code } = await detachAfter(odd, () => {
      odd.call(1000);
      odd.set('act', 1n);
      waitUntil('it has changed', () => odd.get('acted') === 1n);
      odd.call(1000);
    });
    assert.deepEqual([hits, code], [2000, 'PROCESS_PERMISSION']);
    odd.call(1000);
    assert.equal(detachSessions(odd.pid, ({ state }) => state === 'quiet').size, 1);
    assert.deepEqual(odd.footprint(), odd.before);
    odd.call(100);
    assert.equal(odd.get('wrong'), 0n);
  });

  it('D10: becomes a set-user-id program: a controller without rights leaves that alone, and detaches quietly', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-setuid-'));
    chmodSync(folder, 0o755);
    const path = join(folder, 'odd');
    copyFileSync(compileTarget('odd'), path);
    chownSync(path, 65534, 65534);
    chmodSync(path, 0o4755);
    using odd = new OddTarget(['plain'], {
      command: ['env', `ODD_EXEC=${path}`, ...WITHOUT_RIGHTS, compileTarget('odd')],
    });
    const { hits, code } = await detachAfter(odd, () => {
      odd.call(1000);
      odd.set('act', 5n);
      waitUntil('it is another program', () => readlinkSync(`/proc/${odd.pid}/exe`) === path);
    });
    assert.deepEqual([hits, code], [1000, undefined]);
    assert.ok(!readFileSync(`/proc/${odd.pid}/maps`, 'latin1').includes('memfd:remora'));
    assert.match(readFileSync(`/proc/${odd.pid}/status`, 'latin1'), /^TracerPid:\t0$/m);
    rmSync(folder, { recursive: true });
  });

  for (const [what, isAttached] of [
    ['L7: ends before it is probed', false],
    ['D5: ends while it is probed', true],
  ] as const) {
    it(`${what}, and another gets its number: that one is neither written to nor held`, () => {
      const first = new OddTarget(['plain']);
      using target = openProcess(first.pid);
      const object = openObject(objectFile('count'));
      const attach = () => object.program('on_call').attachUprobe(target, 'odd:work');
      if (isAttached) attach();
      first[Symbol.dispose]();
      waitUntil('its number is free', () => !existsSync(`/proc/${first.pid}`));
      using second = new OddTarget(['as', `${first.pid}`], { pidOf: childOf });
      assert.equal(second.pid, first.pid);
      if (!isAttached) assert.throws(attach, (e) => e instanceof BpfError && e.code === 'PROCESS_EXITED');
      object[Symbol.dispose]();
      assert.deepEqual(second.footprint(), second.before);
      second.call(1000);
      assert.match(readFileSync(`/proc/${second.pid}/status`, 'latin1'), /^TracerPid:\t0$/m);
    });
  }
});
