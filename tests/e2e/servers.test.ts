/** Probes on programs that keep count themselves: what they say and what we counted is the same number. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { type BpfLink, openObject, openProcess, type TargetProcess } from '../../src/index.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { Interactive } from '../support/interactive.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { waitUntil } from '../support/targets.ts';

/** A folder for one test, with all that is left in it taken away at the end. */
class Scratch implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'remora-servers-'));

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function run(command: string, args: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command}: ${stderr || error}`);
  return stdout;
}

/** Probes functions of a process; `check` sees the links when `body` is done. The code of its files is as before afterwards. */
function probing(pid: number, places: readonly string[], body: (links: readonly BpfLink[], of: TargetProcess) => void) {
  const before = codeHashes(pid);
  using process = openProcess(pid);
  {
    using object = openObject(objectFile('function-calls'));
    body(
      places.map((place) => object.program('on_entry').attachTo(process, place)),
      process,
    );
  }
  if (process.isGone()) return;
  // Our own memory may have to stay, where a stack looks as if something on it led back there.
  const after = codeHashes(pid);
  for (const [mapping, hash] of Object.entries(before)) assert.equal(after[mapping], hash, mapping);
}

describe('a probe on a program that keeps count itself', { skip: CANNOT_TRACE }, () => {
  it('counts the commands of redis-server under redis-benchmark as INFO does', () => {
    using scratch = new Scratch();
    const socket = join(scratch.path, 'socket');
    const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', scratch.path];
    // Its first words come before it listens.
    using server = new Interactive('/usr/bin/redis-server', args);
    waitUntil('redis listens', () => spawnSync('redis-cli', ['-s', socket, 'ping']).status === 0, 20_000);
    const info = (section: string, field: RegExp): readonly number[] =>
      [...run('redis-cli', ['-s', socket, 'info', section]).matchAll(field)].map((match) => Number(match[1]));
    const commands = () => info('commandstats', /calls=(\d+)/g).reduce((sum, calls) => sum + calls, 0);

    const before = commands();
    probing(server.pid, ['uprobe:redis-server:call'], ([link]) => {
      const said = run('redis-benchmark', ['-s', socket, '-n', '10000', '-c', '20', '-t', 'set,get,incr', '--csv']);
      assert.match(said, /"SET".*\n"GET".*\n"INCR"/);
      const hits = link!.hits;
      // INFO tells of the calls before itself.
      assert.equal(Number(hits), commands() - before - 1);
      assert.ok(hits > 30_000n, `${hits} commands`);
      assert.equal(link!.missed, 0n);
    });
    assert.deepEqual(info('errorstats', /count=(\d+)/g), []);
  });

  it('counts the digests of openssl speed as it does', () => {
    using scratch = new Scratch();
    const entropy = join(scratch.path, 'entropy');
    run('mkfifo', [entropy]);
    const args = ['-c', 'echo ready; exec "$@"', 'sh', '/usr/bin/openssl', 'speed', '-seconds', '1', '-bytes', '16'];
    using speed = new Interactive('/bin/sh', [...args, '-rand', entropy, '-evp', 'sha256']);
    // It waits there for random numbers, and the opening for it to do so.
    const input = openSync(entropy, 'w');
    probing(speed.pid, ['uprobe:libcrypto.so.3:EVP_Digest'], ([link], process) => {
      writeSync(input, Buffer.alloc(64, 1));
      closeSync(input);
      waitUntil('the measurement is over', () => process.isGone(), 30_000);
      const done = /16 size blocks: (\d+) sha256's/.exec(speed.output)?.[1];
      assert.equal(link!.hits, BigInt(done ?? -1), speed.output);
      assert.equal(link!.missed, 0n);
    });
  });
});

describe('fault C11', { skip: CANNOT_TRACE }, () => {
  it('C11: a Go program under entry probes grows its stacks and collects garbage; return probes are refused', () => {
    using scratch = new Scratch();
    const path = join(scratch.path, 'goroutines');
    const source = join(ROOT, 'tests/targets/goroutines.go');
    const built = spawnSync('go', ['build', '-o', path, source], {
      encoding: 'utf8',
      env: { ...process.env, GOCACHE: join(ROOT, '.build/go-cache'), GOFLAGS: '-p=1' },
    });
    assert.equal(built.status, 0, `cannot build ${source}: ${built.stderr || built.error}`);
    using go = new Interactive(path, []);
    const [leaf, grow] = ['uprobe:goroutines:main.leaf', 'uprobe:goroutines:main.grow'];
    probing(go.pid, [leaf, grow], ([leaves, grown], target) => {
      using object = openObject(objectFile('function-calls'));
      assert.throws(
        () => object.program('on_return').attachUretprobe(target, 'goroutines:main.leaf'),
        (error: Error & { code?: string }) => error.code === 'ATTACH_RETURN_REFUSED' && /Go/.test(error.message),
      );
      go.say('go');
      waitUntil('all goroutines are done', () => go.output.includes('done'), 30_000);
      const said = /done: (\d+) of leaf, (\d+) of grow, 0 wrong/.exec(go.output);
      assert.ok(said !== null, go.output);
      assert.equal(leaves!.hits, BigInt(said[1]!));
      // A function is entered once more when its stack has been moved: each fresh stack of 2 KB grows to 128 KB at most.
      const again = grown!.hits - BigInt(said[2]!);
      assert.ok(again > 0n && again <= 6n * 8n * 500n, `${again} entries after the stack has grown`);
      assert.equal(leaves!.missed + grown!.missed, 0n);
    });
    go.say('more');
  });
});
