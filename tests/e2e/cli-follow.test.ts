/** `-f`: what a program begins, and what that begins, is counted in the same maps, from its first instruction on. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CLI, jsonLines, RunningRemora } from '../support/cli.ts';
import { CANNOT_TRACE, EnteredTarget, footprint } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, waitUntil } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');

interface Line {
  readonly type: string;
  readonly data: { readonly pid: number; readonly restored: boolean };
  readonly entries: readonly { readonly value: number }[];
}

describe('remora -f', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  let data: string;
  let early: string;

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-follow-'));
    data = join(folder, 'data.json');
    early = compileTarget('early');
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs a program under us: how it ended, what it wrote, the lines told, and what was counted. */
  const run = (place: string, command: readonly string[], { input = '', follow = ['-f'] } = {}) => {
    const options = [...follow, '--attach', `on_call=${place}`, '--json', '-o', data];
    const args = [CLI, 'run', COUNT, ...options, '--', ...command];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', input });
    const lines = jsonLines(readFileSync(data, 'utf8')) as Line[];
    const count = lines.find(({ type }) => type === 'map')?.entries[0]?.value;
    return { status, stdout, stderr, count, lines };
  };

  it('counts what programs of a shell call, constructors too, in one map; each has its lines', () => {
    const { lines, ...ran } = run(`uprobe:${early}:work`, [
      'sh',
      '-c',
      `${early}; (${early} 3); ${early} & wait; exit 4`,
    ]);
    assert.deepEqual(ran, { status: 4, stdout: '', stderr: '', count: 15 });
    const pidsOf = (wanted: string): number[] =>
      lines.filter(({ type }) => type === wanted).map((line) => line.data.pid);
    assert.ok(new Set(pidsOf('attached')).size >= 4);
    assert.deepEqual(pidsOf('detached').sort(), pidsOf('attached').sort());
  });

  it('does not follow unless it is told to', () => {
    const place = `uprobe:${early}:work`;
    assert.equal(run(place, ['sh', '-c', `${early}; ${early}`], { follow: [] }).count, 0);
  });

  it('E3: counts each call that replaces a program, through shells of shells', () => {
    const script = `/bin/true; /bin/sh -c '/bin/true; exec /bin/true'; exec /bin/true`;
    const { status, stderr, count } = run('tracepoint:syscalls/sys_enter_execve', ['sh', '-c', script]);
    assert.deepEqual([status, stderr, count], [0, '', 5]);
  });

  it('counts in static programs, and what they are replaced by', () => {
    const program = compileTarget('early', ['-static']);
    const { status, stderr, count } = run(`uprobe:${program}:work`, ['sh', '-c', `${program}; exec ${program} 2`]);
    assert.deepEqual([status, stderr, count], [2, '', 10]);
  });

  it('follows make -j2', () => {
    const makefile = join(folder, 'Makefile');
    writeFileSync(makefile, `all: a b c d e f\na b c d e f:\n\t@${early}\n`);
    const { status, stdout, count, stderr } = run(`uprobe:${early}:work`, ['make', '-s', '-j2', '-f', makefile]);
    assert.deepEqual([status, stdout, stderr, count], [0, '', '', 30]);
  });

  it('follows a forking server: what its children call is counted', () => {
    const server = compileTarget('forking-server');
    const input = Array.from({ length: 50 }, (_, n) => `line ${n}\n`).join('');
    const { status, stdout, stderr, count } = run('uprobe:libc.so.6:_exit', [server], { input });
    // Each child, and the server.
    assert.deepEqual([status, stdout, stderr, count], [0, input, '', 51]);
  });

  for (const [what, command, executions] of [
    ['a pipeline', ['sh', '-c', 'seq 1 1000 | sort -n | tail -n 1'], 3],
    ['git, and what it begins', ['git', '-c', 'alias.x=!/bin/echo it ran', 'x'], undefined],
    ['python3, and what it begins', ['/usr/bin/python3', '-S', '-c', "import os; os.system('/bin/echo it ran')"], 2],
    ['node, and what it begins', [process.execPath, '-p', "String(child_process.execFileSync('/bin/echo', ['x']))"], 1],
  ] as const) {
    it(`follows ${what}: it works as without us`, () => {
      const alone = spawnSync(command[0], command.slice(1), { encoding: 'utf8' });
      const { status, stdout, stderr, count } = run('uprobe:libc.so.6:execve', command);
      assert.deepEqual([status, stdout, stderr], [alone.status, alone.stdout, alone.stderr]);
      if (executions === undefined) assert.ok(count! > 0);
      else assert.equal(count, executions);
    });
  }

  it('load: follows what a running process begins, and leaves it as it was', async () => {
    using entered = new EnteredTarget('forking', ['spawn']);
    const before = footprint(entered.process);
    entered.set('count', 3);
    const place = ['--attach', 'on_call=uprobe:forking:work'];
    const session = new RunningRemora(['load', COUNT, ...place, '-p', `${entered.pid}`, '-f', '--json']);
    await session.says(/"attached"/);
    entered.set('go', 1);
    while (entered.counter('done') === 0n) await new Promise((resolve) => setTimeout(resolve, 10));
    const { code, stdout } = await session.end('SIGINT');
    assert.equal(code, 0);
    const lines = jsonLines(stdout) as Line[];
    assert.equal(lines.find(({ type }) => type === 'map')!.entries[0]!.value, 9);
    const left = lines.filter(({ type, data }) => type === 'detached' && data.pid === entered.pid);
    assert.deepEqual(
      left.map((line) => line.data),
      [{ pid: entered.pid, links: 1, restored: true }],
    );
    waitUntil('it is as before', () => `${footprint(entered.process).code}` === before.code);
    assert.deepEqual(footprint(entered.process), before);
    assert.equal(entered.counter('wrong'), 0n);
  });
});
