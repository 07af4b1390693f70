/**
 * Probes on programs that people use. Each is running before we come, waits for a line to begin, makes a known number of
 * calls, and says what it got; the counts must be exact and its own results unchanged.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, realpathSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { describe, it } from 'node:test';
import { openObject, openProcess } from '../../src/index.ts';
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

describe('a probe on a program that people use', () => {
  for (const program of PROGRAMS) {
    it(`counts exactly in ${program.name}, at ${program.place}`, () => {
      using running = new Interactive(program);
      const before = codeHashes(running.pid);
      using target = openProcess(running.pid);
      using object = openObject(OBJECT);
      const link = object.program('on_call').attachUprobe(target, program.place);
      running.say('go');
      waitUntil('it is done', () => running.output.includes('done'), 20_000);
      assert.match(running.output, new RegExp(`^${program.answer}$`, 'm'));
      assert.equal(link.hits, BigInt(CALLS));
      assert.deepEqual(object.map('calls').entries(), [{ key: 0, value: CALLS }]);
      object[Symbol.dispose]();
      assert.ok(stateOf(running.pid) !== undefined);
      // A program that compiles code at run time has more of it by now.
      const after = codeHashes(running.pid);
      for (const [mapping, hash] of Object.entries(before)) {
        if (/ (\/|\[vdso\])/.test(mapping)) assert.equal(after[mapping], hash, mapping);
      }
    });
  }
});
