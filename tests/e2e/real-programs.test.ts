/**
 * `remora load` on programs that people use. Each is running before we come, waits for a line to begin, makes a known number of
 * calls, and says what it got; the counts must be exact and its own results unchanged.
 */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { CLI, jsonLines } from '../support/cli.ts';
import { codeHashes } from '../support/code-hash.ts';
import { ROOT } from '../support/root.ts';
import { stateOf, waitUntil } from '../support/targets.ts';

const CALLS = 5000;
const OBJECT = join(ROOT, 'examples/count-calls.bpf.o');

interface Program {
  readonly name: string;
  readonly path: string;
  readonly args: readonly string[];
  /** A function that the work below calls CALLS times, and nothing else meanwhile. */
  readonly place: string;
  /** What it prints when it is done. */
  readonly answer: string;
}

const SHELL = `echo ready; read go; i=0; while [ $i -lt ${CALLS} ]; do : ; let i=i+1; done; echo done $i; read more`;
const PYTHON = `
import os
print('ready', flush=True)
input()
print('done', len([os.getppid() for i in range(${CALLS})]), flush=True)
input()`;
const NODE = `
let n = 0;
process.stdin.on('data', () => { while (n < ${CALLS}) { process.ppid; n++; } console.log('done', n); });
console.log('ready');`;

/** The system's python3 where there is one: others on the path may be wrappers. */
const PYTHON_PATH = existsSync('/usr/bin/python3') ? realpathSync('/usr/bin/python3') : 'python3';

const PROGRAMS: readonly Program[] = [
  { name: 'bash', path: '/bin/bash', args: ['-c', SHELL], place: 'bash:colon_builtin', answer: `done ${CALLS}` },
  { name: 'python3', path: PYTHON_PATH, args: ['-c', PYTHON], place: 'libc.so.6:getppid', answer: `done ${CALLS}` },
  {
    name: 'node',
    path: process.execPath,
    args: ['-e', NODE],
    place: `${basename(process.execPath)}:uv_os_getppid`,
    answer: `done ${CALLS}`,
  },
];

/** A program with a pipe to its standard input, its output in a file, and nobody here as its parent. */
class Interactive implements Disposable {
  readonly pid: number;
  readonly #folder = mkdtempSync(join(tmpdir(), 'remora-real-'));
  readonly #input: number;

  constructor({ path, args }: Program) {
    const [input, output] = [join(this.#folder, 'in'), join(this.#folder, 'out')];
    // Opened for reading and writing, so that neither side waits for the other.
    const script = 'mkfifo "$1"; in=$1; out=$2; shift 2; setsid "$@" <>"$in" >"$out" 2>&1 & echo $!';
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', input, output, path, ...args], { encoding: 'utf8' });
    this.pid = Number.parseInt(stdout, 10);
    this.#input = openSync(input, 'r+');
    waitUntil(`${path} is ready`, () => this.output.includes('ready'), 20_000);
  }

  get output(): string {
    return readFileSync(join(this.#folder, 'out'), 'utf8');
  }

  say(line: string): void {
    writeSync(this.#input, `${line}\n`);
  }

  [Symbol.dispose](): void {
    closeSync(this.#input);
    if (stateOf(this.pid) !== undefined) process.kill(this.pid, 'SIGKILL');
    rmSync(this.#folder, { recursive: true });
  }
}

interface Line {
  readonly type: string;
  readonly data?: unknown;
  readonly name?: string;
  readonly entries?: unknown;
}

describe('a probe on a program that people use', () => {
  for (const program of PROGRAMS) {
    it(`counts exactly in ${program.name}, at ${program.place}`, async () => {
      using running = new Interactive(program);
      const before = codeHashes(running.pid);
      const place = ['--attach', `on_call=uprobe:${program.place}`];
      const load = spawn(process.execPath, [CLI, 'load', OBJECT, ...place, '-p', `${running.pid}`, '--json', '-q']);
      const ended = once(load, 'close');
      let output = '';
      load.stdout.on('data', (data) => {
        if (output === '') running.say('go');
        output += data;
      });
      while (!running.output.includes('done')) await sleep(20);
      load.kill('SIGINT');
      assert.deepEqual(await ended, [0, null]);

      assert.match(running.output, new RegExp(`^${program.answer}$`, 'm'));
      const lines = jsonLines(output) as Line[];
      assert.deepEqual(
        lines.map(({ type }) => type),
        ['attached', 'map', 'stats', 'detached'],
      );
      assert.deepEqual(lines[1]!.entries, [{ key: 0, value: CALLS }]);
      assert.deepEqual(lines[2]!.data, { links: [{ id: 1, hits: CALLS, missed: 0 }], lost_events: 0 });
      assert.deepEqual(lines[3]!.data, { pid: running.pid, links: 1, restored: true });
      // A program that compiles code at run time has more of it by now.
      const after = codeHashes(running.pid);
      for (const [mapping, hash] of Object.entries(before)) {
        if (/ (\/|\[vdso\])/.test(mapping)) assert.equal(after[mapping], hash, mapping);
      }
      running.say('more');
    });
  }
});
