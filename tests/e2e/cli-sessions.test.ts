/** `remora ps`, `detach` and `maps` from another shell, while the loader lives and after it was killed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { openProcess } from '../../src/process/target-process.ts';
import { CallsTarget } from '../support/calls-target.ts';
import { type CliResult, jsonLines, RunningRemora, remora } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE, footprint } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, stateOf, waitUntil } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');

const MAPS = ['counts'];

interface SessionLine {
  readonly type: 'session';
  readonly data: {
    readonly id: string;
    readonly state: string;
    readonly controller: number;
    readonly links: readonly {
      readonly program: string;
      readonly target: string;
      readonly kind: string;
      readonly hits: number;
    }[];
    readonly maps: readonly string[];
  };
}

/** A target, what it was before anything came, and a loader on its function `work`. */
class Scene implements Disposable {
  readonly calls = new CallsTarget(2);
  readonly pid = String(this.calls.pid);
  readonly #process = openProcess(this.calls.pid);
  readonly #before = footprint(this.#process);

  async load(...args: readonly string[]): Promise<RunningRemora> {
    const attach = ['--attach', 'on_call=uprobe:calls:work', '--json'];
    const loader = new RunningRemora(['load', COUNT, '-p', this.pid, ...attach, ...args]);
    await loader.says(/"attached"/);
    return loader;
  }

  async sessions(): Promise<readonly SessionLine['data'][]> {
    const { code, stdout, stderr } = await remora(['ps', '-p', this.pid, '--json']);
    assert.equal(code, 0, stderr);
    return (jsonLines(stdout) as SessionLine[]).map(({ data }) => data);
  }

  async hits(): Promise<number | undefined> {
    return (await this.sessions())[0]?.links[0]?.hits;
  }

  /** Nothing of us is left, and the target works. */
  assertClean(): void {
    assert.deepEqual(footprint(this.#process), this.#before);
    this.calls.call(10);
    assert.equal(this.calls.wrong, 0n);
  }

  [Symbol.dispose](): void {
    this.#process[Symbol.dispose]();
    this.calls[Symbol.dispose]();
  }
}

const messagesOf = ({ stdout }: CliResult): unknown[] =>
  jsonLines(stdout).map((line) => (line as { data: unknown }).data);

describe('what is attached, from another shell', { skip: CANNOT_TRACE }, () => {
  it('is listed while its loader lives, with its hits', async () => {
    using scene = new Scene();
    const loader = await scene.load();
    scene.calls.call(100);
    const [session, ...others] = await scene.sessions();
    assert.deepEqual(others, []);
    assert.equal(session?.state, 'live');
    assert.equal(session.controller, loader.child.pid);
    assert.deepEqual(session.maps, MAPS);
    const [link] = session.links;
    assert.deepEqual([link?.program, link?.kind, link?.target, link?.hits], ['on_call', 'uprobe', 'calls:work', 200]);
    await loader.end('SIGINT');
    assert.deepEqual(await scene.sessions(), []);
    scene.assertClean();
  });

  it('goes quiet when its loader is killed, and is taken off byte for byte', async () => {
    using scene = new Scene();
    const loader = await scene.load();
    scene.calls.call(100);
    await loader.end('SIGKILL');
    scene.calls.call(100);
    const [session] = await scene.sessions();
    assert.equal(session?.state, 'quiet');
    assert.equal(session.links[0]?.hits, 200, 'nothing was counted since');
    const detached = await remora(['detach', '--all', '-p', scene.pid, '--json']);
    assert.equal(detached.code, 0, detached.stderr);
    const data = { pid: scene.calls.pid, session: session.id, sites: 1, restored: true, released: true };
    assert.deepEqual(messagesOf(detached), [data]);
    scene.assertClean();
  });

  it('is taken off by `ps --clean` while threads run through it', async () => {
    using scene = new Scene();
    const loader = await scene.load();
    scene.calls.start();
    await loader.end('SIGKILL');
    const cleaned = await remora(['ps', '--clean', '-p', scene.pid, '--json']);
    assert.equal(cleaned.code, 0, cleaned.stderr);
    scene.calls.stop();
    scene.assertClean();
  });

  it('runs on when it is pinned, and is not cleaned away but taken off by name', async () => {
    using scene = new Scene();
    const loader = await scene.load('--pin');
    scene.calls.call(100);
    await loader.end('SIGKILL');
    scene.calls.call(100);
    assert.equal(await scene.hits(), 400);
    const cleaned = await remora(['ps', '--clean', '-p', scene.pid]);
    assert.equal(cleaned.code, 0, cleaned.stderr);
    const [session] = await scene.sessions();
    assert.equal(session?.state, 'pinned');
    const detached = await remora(['detach', session.id, '-p', scene.pid]);
    assert.equal(detached.code, 0, detached.stderr);
    scene.assertClean();
  });

  it('outlives a terminal that goes, if it is pinned', async () => {
    using scene = new Scene();
    const loader = await scene.load('--pin');
    assert.equal((await loader.end('SIGHUP')).code, 0);
    scene.calls.call(100);
    assert.equal(await scene.hits(), 200);
    await remora(['detach', '--all', '-p', scene.pid]);
    scene.assertClean();
  });

  it('is taken off under a living loader, which tells what it counted and leaves', async () => {
    using scene = new Scene();
    const loader = await scene.load();
    scene.calls.call(100);
    const detached = await remora(['detach', '--all', '-p', scene.pid, '--json']);
    assert.equal(detached.code, 0, detached.stderr);
    const [outcome] = messagesOf(detached) as { restored: boolean; released: boolean }[];
    assert.deepEqual([outcome?.restored, outcome?.released], [true, true]);
    const { code, stdout, stderr } = await loader.end();
    assert.equal(code, 0, stderr);
    const stats = jsonLines(stdout).find((line) => (line as { type: string }).type === 'stats');
    assert.match(JSON.stringify(stats), /"hits":200/);
    scene.assertClean();
  });

  it('shows its maps, typed, also when the loader is dead', async () => {
    using scene = new Scene();
    const loader = await scene.load();
    scene.calls.call(100);
    await loader.end('SIGKILL');
    const listed = await remora(['maps', '-p', scene.pid, '--json']);
    assert.equal(listed.code, 0, listed.stderr);
    const names = messagesOf(listed).map((map) => (map as { name: string }).name);
    assert.deepEqual(names, MAPS);
    const dumped = await remora(['maps', 'dump', names[0]!, '-p', scene.pid, '--json']);
    assert.equal(dumped.code, 0, dumped.stderr);
    const [map] = jsonLines(dumped.stdout) as { name: string; entries: { value: unknown }[] }[];
    assert.deepEqual(map?.entries[0]?.value, 200);
    const missing = await remora(['maps', 'dump', 'no_such_map', '-p', scene.pid]);
    assert.equal(missing.code, 4);
    await remora(['detach', '--all', '-p', scene.pid]);
    scene.assertClean();
  });

  it('holds the pages that a thread will return into, says so, and releases them when it has', async () => {
    // Nobody here traces it: so it may be our child.
    const target = spawn(compileTarget('mended'), { stdio: ['pipe', 'pipe', 'ignore'] });
    try {
      const echo = async (): Promise<void> => {
        target.stdin.write('x');
        await once(target.stdout, 'data');
      };
      await echo();
      const pid = String(target.pid);
      const code = codeHashes(target.pid!);
      const place = ['--attach', 'on_call=uprobe:mended:touch'];
      const loader = new RunningRemora(['load', COUNT, '-p', pid, ...place, '--json']);
      await loader.says(/"attached"/);
      // From now on it waits in a handler that goes back to our code.
      await echo();
      waitUntil('it does', () => stateOf(target.pid!) === 'S');
      await loader.end('SIGKILL');
      const detached = await remora(['detach', '--all', '-p', pid, '--json']);
      const [outcome] = messagesOf(detached) as { restored: boolean; released: boolean }[];
      assert.deepEqual([outcome?.restored, outcome?.released], [true, false], detached.stderr);
      const listed = await remora(['ps', '-p', pid, '--json']);
      const [session] = messagesOf(listed) as { state: string; held_bytes: number }[];
      assert.equal(session?.state, 'closed');
      assert.ok(session.held_bytes >= 4096 && session.held_bytes % 4096 === 0);
      assert.match(listed.stderr, /a thread may still return into pages/);
      const told = await remora(['ps', '-p', pid]);
      assert.match(told.stdout, / closed .* \d+ KiB held /);
      assert.equal((await remora(['ps', '--clean', '-p', pid])).code, 0);
      assert.match((await remora(['ps', '-p', pid])).stdout, /KiB held/, 'while the thread is there');
      await echo();
      assert.equal((await remora(['ps', '--clean', '-p', pid])).code, 0);
      assert.equal((await remora(['ps', '-p', pid])).stdout, '');
      assert.deepEqual(codeHashes(target.pid!), code);
      await echo();
    } finally {
      target.kill('SIGKILL');
    }
  });

  it('of several processes: ps, maps and detach take each that is there, and tell which is not', async () => {
    using first = new Scene();
    using second = new Scene();
    const loader = await first.load('-p', second.pid);
    await loader.says(new RegExp(`"pid":${second.pid}\\b`));
    second.calls.call(10);
    const gone = '4194304';
    const both = ['-p', first.pid, '-p', gone, '-p', second.pid];
    const pidsOf = ({ stdout }: CliResult): string[] =>
      [...new Set(jsonLines(stdout).map((line) => String((line as { data: { pid: number } }).data.pid)))].sort();
    const wanted = [first.pid, second.pid].sort();
    for (const args of [['ps'], ['maps'], ['detach', '--all']]) {
      const result = await remora([...args, ...both, '--json']);
      assert.equal(result.code, 4, result.stderr);
      assert.match(result.stderr, /process 4194304: there is none/);
      assert.deepEqual(pidsOf(result), wanted, args.join(' '));
    }
    assert.equal((await loader.end()).code, 0);
    first.assertClean();
    second.assertClean();
  });

  it('says what is not there', async () => {
    using scene = new Scene();
    const none = await remora(['detach', '--all', '-p', scene.pid]);
    assert.equal(none.code, 0, none.stderr);
    assert.match(none.stderr, /nothing was attached/);
    assert.match((await remora(['ps', '-p', scene.pid])).stderr, /^nothing is attached\n$/);
    assert.match((await remora(['ps', '--clean', '-p', scene.pid])).stderr, /^nothing was left by dead controllers\n$/);
    const gone = await remora(['ps', '-p', '4194304']);
    assert.equal(gone.code, 4);
    assert.doesNotMatch(gone.stderr, /nothing is attached/);
    assert.equal((await remora(['detach', '01234567', '-p', scene.pid])).code, 4);
    assert.equal((await remora(['detach'])).code, 2);
    assert.equal((await remora(['detach', '--all'])).code, 2);
  });
});
