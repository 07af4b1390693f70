/**
 * A controller killed with SIGKILL at its n-th call to the operating system while it starts a program, or meets one that a followed
 * shell begins: the program runs on as if nobody had been there, and a later command finds it, or makes it, as it is without us. Calls are
 * taken evenly from all there are; SWEEP=all takes every one.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { detachSessions } from '../../src/index.ts';
import { readStatus } from '../../src/sys/proc.ts';
import { readMaps } from '../../src/sys/proc-maps.ts';
import { CLI } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, stateOf, waitUntil } from '../support/targets.ts';

const COUNT = join(ROOT, 'tests/objects/clang-19/count.bpf.o');
const PRELOAD = join(import.meta.dirname, '..', 'support', 'kill-at-call.js');

interface Started {
  /** Path of the program. */
  readonly program: () => string;
  /** What starts it. */
  readonly words: (path: string) => readonly string[];
  readonly follow: readonly string[];
  /** How many calls its controller is killed at without SWEEP=all. */
  readonly points: number;
}

const itself = { words: (path: string) => [path], follow: [] };

const STARTED: Readonly<Record<string, Started>> = {
  'a dynamic program': { ...itself, program: () => compileTarget('begun'), points: 6 },
  'a program of musl': { ...itself, program: () => compileTarget('begun', [], 'musl-gcc'), points: 3 },
  'a static program': { ...itself, program: () => compileTarget('begun', ['-static']), points: 3 },
  'a program that a followed shell begins': {
    program: () => compileTarget('begun'),
    words: (path) => ['sh', '-c', '"$0"; exit $?', path],
    follow: ['-f'],
    points: 6,
  },
};

/** What a run came to. */
interface Run {
  /** Calls of a controller that was not killed. */
  readonly calls: number;
  /** The program's id, 0 if the controller died before it began that. */
  readonly pid: number;
  /** How the children of the reaper ended. */
  readonly ends: readonly string[];
  readonly stderr: string;
}

describe('F1: a controller killed while it starts a program', { skip: CANNOT_TRACE }, () => {
  let folder: string;
  let reaper: string;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'remora-started-'));
    reaper = compileTarget('reaper');
  });
  after(() => rmSync(folder, { recursive: true }));

  /** Runs a command below the reaper; looks at the program as it waits, then lets it end. */
  async function run(
    command: readonly string[],
    killAt: number,
    look: (pid: number, controller: number) => void,
  ): Promise<Run> {
    const child = spawn(reaper, command, { env: { ...process.env, KILL_AT: `${killAt}` } });
    const said = { stdout: '', stderr: '' };
    const closed = once(child, 'close');
    const pid = await new Promise<number>((resolve) => {
      child.stdout.on('data', (data) => {
        said.stdout += data;
        const [, began] = /^began as (\d+)$/m.exec(said.stdout) ?? [];
        if (began !== undefined) resolve(Number(began));
      });
      child.stderr.on('data', (data) => {
        said.stderr += data;
      });
      closed.then(() => resolve(0));
    });
    const controller = Number(/^runs (\d+)$/m.exec(said.stderr)?.[1]);
    try {
      if (pid !== 0) look(pid, controller);
    } finally {
      child.stdin.end();
      await closed;
    }
    const lines = said.stdout.split('\n').filter((line) => line !== '' && !/^\d+$/.test(line));
    assert.deepEqual(lines, pid === 0 ? [] : [`began as ${pid}`, 'all was in order'], said.stderr);
    const ends = said.stderr.matchAll(/^\d+ (exit \d+|signal \d+)$/gm);
    return {
      calls: Number(/^\d+$/m.exec(said.stdout)?.[0] ?? 0),
      pid,
      ends: [...ends].map(([, how]) => how!),
      stderr: said.stderr,
    };
  }

  for (const [what, { program, points, words, follow }] of Object.entries(STARTED)) {
    it(`F1: leaves ${what} to run on in order, and to be restored byte for byte`, async (t) => {
      const path = program();
      let alone: unknown;
      await run(words(path), 0, (pid) => {
        alone = shapeOf(pid);
      });
      const options = ['--attach', `on_call=uprobe:${path}:work`, '-q', '-o', join(folder, 'data'), ...follow];
      const remora = [process.execPath, '--import', PRELOAD, CLI, 'run', COUNT, ...options, '--', ...words(path)];
      const { calls } = await run(remora, 0, () => {});
      const wanted = process.env.SWEEP === 'all' ? calls : points;
      let begun = 0;
      for (let point = 0; point < wanted; point++) {
        const at = 1 + Math.floor((point * calls) / wanted);
        const { pid, ends, stderr } = await run(remora, at, (began, killed) => {
          endController(killed);
          waitUntil(`it waits, killed at ${at}`, () => stateOf(began) === 'S');
          assert.equal(readStatus(began).tracer, 0);
          detachSessions(began, ({ state }) => state !== 'live');
          assert.deepEqual(shapeOf(began), alone, `killed at ${at} of ${calls}`);
        });
        if (pid !== 0) begun++;
        // The controller, its watchdog, which ends by itself if it comes too late, and what had not become the program yet.
        const others = ends.filter((how) => how !== 'signal 9' && how !== 'exit 0');
        assert.deepEqual(others, pid === 0 ? [] : ['exit 7'], `killed at ${at}: ${stderr}`);
      }
      t.diagnostic(`killed at ${wanted} of ${calls} calls; ${begun} programs had begun`);
      assert.ok(begun > 0);
    });
  }
});

/** Kills a controller, unless something has, and waits until it is dead: then it traces nothing any more. */
function endController(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It is.
  }
  waitUntil('the controller is dead', () => stateOf(pid) === undefined);
}

/** What of a process is the same whenever its program is started: code, mappings but for the stack, descriptors, signals. */
function shapeOf(pid: number): unknown {
  const mappings = readMaps(pid).filter(({ path }) => path !== '[stack]');
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  return {
    mappings: mappings.map(({ start, end, permissions, path }) => `${end - start} ${permissions} ${path}`),
    code: Object.values(codeHashes(pid)),
    descriptors: readdirSync(`/proc/${pid}/fd`),
    signals: status.split('\n').filter((line) => /^(Sig(Blk|Ign|Cgt|Pnd)|ShdPnd|Seccomp):/.test(line)),
  };
}
