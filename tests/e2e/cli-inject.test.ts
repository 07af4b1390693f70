/** `remora inject` with a program to start, with its children, and with several processes: what strace's users do. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CLI, jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { FailingTarget, TRIES } from '../support/failing-target.ts';

const { EIO } = constants.errno;

interface Stats {
  readonly rule: string;
  readonly hits: number;
  readonly injected: number;
}

function statsIn(output: string): readonly Stats[] {
  const lines = jsonLines(output) as { type: string; data: { links: Stats[] } }[];
  return lines.find(({ type }) => type === 'stats')!.data.links;
}

describe('remora inject with a program to start', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  const file = (name: string): string => join(folder, name);

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-inject-'));
    for (const name of ['a', 'b', 'c']) writeFileSync(file(name), `${name}\n`);
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Starts a program with faults: how it ended and what it wrote, and what was counted. */
  const starting = (words: readonly string[], command: readonly string[]) => {
    const args = [CLI, 'inject', ...words, '--json', '-q', '-o', file('data'), '--', ...command];
    const { status, signal, stdout, stderr } = spawnSync(process.execPath, args, {
      encoding: 'utf8',
      env: { ...process.env, LC_ALL: 'C' },
    });
    return { status, signal, stdout, stderr, stats: statsIn(readFileSync(file('data'), 'utf8')) };
  };

  it('has the calls fail that are meant, from its first instruction on', () => {
    const cat = ['cat', file('a'), file('b'), file('c')];
    const whole = starting(['openat:error=ENOENT:when=1000'], cat);
    assert.deepEqual([whole.status, whole.stdout, whole.stderr], [0, 'a\nb\nc\n', '']);
    const { hits } = whole.stats[0]!;
    assert.ok(hits >= 3);
    const { status, stdout, stderr, stats } = starting([`openat:error=EACCES:when=${hits - 1}`], cat);
    assert.deepEqual([status, stdout], [1, 'a\nc\n']);
    assert.match(stderr, /^cat: .*\/b: Permission denied\n$/);
    assert.deepEqual([stats[0]!.hits, stats[0]!.injected], [hits, 1]);
  });

  it('has functions fail that it calls', () => {
    const { stdout, status, stats } = starting(['libc.so.6:getppid:return=7'], ['sh', '-c', 'exit 4']);
    assert.deepEqual([stdout, status, stats[0]!.injected], ['', 4, stats[0]!.hits]);
  });

  it('ends as the program does', () => {
    assert.equal(starting(['openat:error=EIO:when=1000'], ['sh', '-c', 'kill -TERM $$']).signal, 'SIGTERM');
  });

  it('has its children fail too, and the programs that these become, if they are followed', () => {
    const script = `cat ${file('a')}; cat ${file('b')}; exit 3`;
    const alone = starting(['openat:error=EACCES'], ['sh', '-c', script]);
    assert.deepEqual([alone.status, alone.stdout], [3, 'a\nb\n']);
    const { status, stdout, stderr, stats } = starting(['-f', 'openat:error=EACCES'], ['sh', '-c', script]);
    assert.deepEqual([status, stdout], [3, '']);
    assert.equal(stderr.match(/Permission denied/g)?.length, 2);
    assert.ok(stats[0]!.injected >= 2);
    assert.equal(stats[0]!.injected, stats[0]!.hits);
  });

  for (const [why, ...args] of [
    ['no rule', '--', 'true'],
    ['neither a process nor a program', 'openat:error=EIO'],
    ['both', '-p', '1', 'openat:error=EIO', '--', 'true'],
    ['ends by itself', '--duration', '5s', 'openat:error=EIO', '--', 'true'],
  ] as const) {
    it(`is refused where there is ${why}`, async () => {
      const { code, stdout, stderr } = await remora(['inject', ...args]);
      assert.deepEqual([code, stdout], [2, '']);
      assert.match(stderr, new RegExp(`^error: cannot inject: .*${why.split(' ').at(-1)}.*\\nfix: `));
    });
  }
});

describe('remora inject with several processes', { skip: CANNOT_TRACE }, () => {
  it('counts the calls of all of them together, and leaves nothing behind', async () => {
    using first = new FailingTarget();
    using second = new FailingTarget();
    const pids = [first, second].flatMap(({ pid }) => ['-p', `${pid}`]);
    const hashes = [first, second].map(({ pid }) => codeHashes(pid));
    const running = new RunningRemora(['inject', ...pids, `getppid:error=EIO:when=${TRIES + 1}+`, '--json']);
    await running.says(/"attached"[\s\S]*"attached"/);
    assert.ok(first.run('getppid').every((error) => error === 0));
    assert.ok(second.run('getppid').every((error) => error === EIO));
    const { code, stdout } = await running.end('SIGINT');
    assert.equal(code, 0);
    assert.deepEqual(
      statsIn(stdout).map(({ hits, injected }) => [hits, injected]),
      [[2 * TRIES, TRIES]],
    );
    const ends = (jsonLines(stdout) as { type: string; data: { pid: number; restored: boolean } }[]).slice(-2);
    assert.deepEqual(
      ends.map(({ type, data }) => [type, data.pid, data.restored]),
      [first, second].map(({ pid }) => ['detached', pid, true]),
    );
    assert.deepEqual(
      [first, second].map(({ pid }) => codeHashes(pid)),
      hashes,
    );
  });
});
