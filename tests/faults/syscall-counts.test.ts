/**
 * Fault E1: over the whole run of programs that people use, every system call is counted that the kernel counts.
 * Each waits for its input when we come; from then to its end both count.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, it } from 'node:test';
import { syscallNumber } from '../../src/attach/syscall/names.ts';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { KernelCounts } from '../support/kernel-counts.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, stateOf, waitUntil } from '../support/targets.ts';

/** None may get signals that make the kernel begin calls anew: it counts those as often as it begins them. */
interface Program {
  readonly name: string;
  readonly command: () => readonly string[];
  readonly input: string;
  /** It may end while so many of its threads wait: the kernel counts that those calls end, which nobody in the process sees. */
  readonly waitAtEnd?: number;
}

const LINES = Array.from({ length: 2000 }, (_, n) => `${(n * 7919) % 2000} line ${n}\n`).join('');
const scratch = mkdtempSync(join(tmpdir(), 'remora-counts-'));

const filter = (name: string, ...args: readonly string[]): Program => ({
  name,
  command: () => [`/usr/bin/${name}`, ...args],
  input: LINES,
});

const PYTHON = `
import os, threading, subprocess, tempfile, time
def work():
    for i in range(200):
        with tempfile.TemporaryFile() as f: f.write(b'x' * i)
        time.sleep(0)
threads = [threading.Thread(target=work) for _ in range(4)]
for t in threads: t.start()
for t in threads: t.join()
for i in range(10):
    if os.fork() == 0: os._exit(0)
    os.wait()
print(len(os.listdir('/usr')))
`;
const NODE = `
const fs = require('fs');
process.stdin.once('data', async () => {
  for (let i = 0; i < 100; i++) fs.statSync('/usr');
  await Promise.all(Array.from({ length: 50 }, () => fs.promises.readFile('/etc/passwd')));
  process.exit(0);
});`;
const SQL = `create table t(a, b); ${'insert into t values(random(), hex(randomblob(20)));'.repeat(200)} select count(*) from t;`;
const SHELL = `read line; for i in 1 2 3 4 5; do (echo $i) >/dev/null; x=$(echo $line); done; [ -e /etc/passwd ] && echo $x`;

const PROGRAMS: readonly Program[] = [
  filter('cat'),
  filter('sort'),
  filter('wc'),
  filter('md5sum'),
  filter('sha256sum'),
  filter('base64'),
  filter('tac'),
  filter('uniq'),
  filter('cut', '-c', '1-3'),
  filter('grep', '7'),
  filter('sed', 's/line/row/'),
  filter('tr', 'a-z', 'A-Z'),
  filter('od', '-x'),
  filter('gzip', '-c'),
  filter('perl', '-ne', 'print if /9/'),
  { name: 'xargs, which starts nothing', command: () => ['/usr/bin/xargs', '--no-run-if-empty'], input: '\n' },
  {
    name: 'tar',
    command: () => ['/usr/bin/tar', '-cf', join(scratch, 'a.tar'), '-T', '-'],
    input: '/etc/passwd\n/etc/default\n',
  },
  { name: 'bash', command: () => ['/bin/bash', '-c', SHELL], input: 'a line\n' },
  { name: 'dash', command: () => ['/bin/dash', '-c', SHELL], input: 'a line\n' },
  { name: 'python3', command: () => ['/usr/bin/python3', '-'], input: PYTHON },
  { name: 'node', command: () => [process.execPath, '-e', NODE], input: 'go\n', waitAtEnd: 16 },
  { name: 'sqlite3', command: () => ['/usr/bin/sqlite3', join(scratch, 'db')], input: SQL },
  { name: 'git', command: () => ['/usr/bin/git', 'hash-object', '--stdin'], input: LINES },
  { name: 'openssl', command: () => ['/usr/bin/openssl', 'dgst', '-sha256'], input: LINES },
  { name: 'curl', command: () => ['/usr/bin/curl', '-s', '-K', '-'], input: 'url = "file:///etc/passwd"\n' },
  {
    name: 'a Go program',
    command: () => ['/usr/bin/env', 'GODEBUG=asyncpreemptoff=1', goProgram()],
    input: 'go\nmore\n',
    waitAtEnd: 16,
  },
  { name: 'a forking server', command: () => [compileTarget('forking-server')], input: LINES.slice(0, 600) },
  {
    name: 'a static program',
    command: () => [compileTarget('forking-server', ['-static'])],
    input: LINES.slice(0, 600),
  },
];

function goProgram(): string {
  const path = join(scratch, 'goroutines');
  const built = spawnSync('go', ['build', '-o', path, join(ROOT, 'tests/targets/goroutines.go')], {
    encoding: 'utf8',
    env: { ...process.env, GOCACHE: join(ROOT, '.build/go-cache'), GOFLAGS: '-p=1' },
  });
  assert.equal(built.status, 0, built.stderr);
  return path;
}

/** A program that waits for its input. */
class Waiting implements Disposable {
  readonly pid: number;
  readonly #input: number;

  constructor(command: readonly string[]) {
    const [input, output] = [join(scratch, 'in'), join(scratch, 'out')];
    rmSync(input, { force: true });
    // Opened for both ways, so that nobody waits for the other; the program gets the end of it when we close ours.
    spawnSync('mkfifo', [input]);
    this.#input = openSync(input, 'r+');
    const script = 'in=$1; out=$2; shift 2; setsid "$@" <"$in" >"$out" 2>&1 & echo $!';
    const { stdout } = spawnSync('sh', ['-c', script, 'sh', input, output, ...command], { encoding: 'utf8' });
    this.pid = Number.parseInt(stdout, 10);
    waitUntil(`${command[0]} waits for its input`, () => this.#isWaiting(), 20_000);
  }

  /** All its threads sleep, one of them for its input: in read, poll, select, pselect6, epoll_wait or epoll_pwait. */
  #isWaiting(): boolean {
    if (stateOf(this.pid) === undefined) throw new Error(readFileSync(join(scratch, 'out'), 'utf8'));
    const calls = readdirSync(`/proc/${this.pid}/task`).map((tid) =>
      readFileSync(`/proc/${this.pid}/task/${tid}/syscall`, 'latin1'),
    );
    return calls.every((call) => /^\d/.test(call)) && calls.some((call) => /^(0 0x0|7|23|270|232|281) /.test(call));
  }

  finish(input: string): void {
    for (let at = 0; at < input.length; ) at += writeSync(this.#input, input.slice(at, at + 4096));
    closeSync(this.#input);
    waitUntil('it has ended', () => ['Z', undefined].includes(stateOf(this.pid)), 30_000);
  }

  [Symbol.dispose](): void {
    if (!['Z', undefined].includes(stateOf(this.pid))) process.kill(this.pid, 'SIGKILL');
  }
}

/** How often each call was made, by number; the last one stands for those that no kernel knows. */
function countsIn(object: BpfObject, map: string): readonly number[] {
  return object
    .map(map)
    .entries()
    .map(({ value }) => Number(value));
}

const sum = (counts: readonly number[]): number => counts.reduce((total, count) => total + count, 0);

/** clone, fork, vfork, clone3: the kernel sees them return in the child too, we in the parent alone. */
const RETURN_TWICE = [56, 57, 58, 435] as const;
/** The kernel sees it return, but no longer what it was. */
const RT_SIGRETURN = 15;
/** Counted by themselves. */
const SOME = ['read', 'write', 'openat', 'close', 'mmap', 'newfstatat', 'futex', 'rt_sigprocmask'] as const;

describe('fault E1', { skip: CANNOT_TRACE }, () => {
  after(() => rmSync(scratch, { recursive: true }));

  for (const { name, command, input, waitAtEnd = 0 } of PROGRAMS) {
    it(`E1: ${name} makes as many calls as the kernel says`, () => {
      writeFileSync(join(scratch, 'out'), '');
      using waiting = new Waiting(command());
      using process = openProcess(waiting.pid);
      using object = openObject(objectFile('syscalls'));
      const links = ['on_enter', 'on_exit'].map((program) => object.program(program).attach(process));
      using kernel = new KernelCounts(waiting.pid, [
        ['enter', 'all'],
        ['exit', 'all'],
        ...SOME.map((call) => ['enter', call] as const),
      ]);
      waiting.finish(input);
      const [entered, left] = [countsIn(object, 'entered'), countsIn(object, 'left')];
      for (const call of SOME) assert.equal(entered[syscallNumber(call)], kernel.read('enter', call), call);
      assert.equal(sum(entered), kernel.read('enter', 'all'), 'entries');
      const inChildren = sum(RETURN_TWICE.map((number) => entered[number]!));
      const cutShort = kernel.read('exit', 'all') - (sum(left) + inChildren + entered[RT_SIGRETURN]!);
      assert.ok(cutShort >= 0 && cutShort <= waitAtEnd, `exits: the kernel has ${cutShort} more`);
      assert.ok(sum(entered) > 2, 'it made calls');
      for (const { missed, method } of links) assert.deepEqual([missed, method], [0n, 'jump']);
    });
  }
});
