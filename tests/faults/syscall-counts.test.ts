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
import { isDeepStrictEqual } from 'node:util';
import { SYSCALL_NUMBERS } from '../../src/attach/syscall/names.ts';
import { type BpfObject, openObject, openProcess } from '../../src/index.ts';
import { CANNOT_TRACE } from '../support/entered.ts';
import { Interactive } from '../support/interactive.ts';
import { KernelCounts } from '../support/kernel-counts.ts';
import { objectFile } from '../support/objects.ts';
import { ROOT } from '../support/root.ts';
import { compileTarget, stateOf, waitUntil } from '../support/targets.ts';

interface Program {
  readonly name: string;
  readonly command: () => readonly string[];
  readonly input: string;
  /** What has it work beside its input, which comes behind that. */
  readonly work?: () => void;
  /** How many threads may be killed by the end of the process, who knows where. */
  readonly killedAtEnd?: number;
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

const REDIS = join(scratch, 'redis');
const HTTP = `
require('http').createServer((request, response) => response.end(request.url.repeat(1000)))
  .listen(process.argv[1], () => console.log('ready'));`;

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
  { name: 'node', command: () => [process.execPath, '-e', NODE], input: 'go\n', killedAtEnd: 16 },
  { name: 'sqlite3', command: () => ['/usr/bin/sqlite3', join(scratch, 'db')], input: SQL },
  { name: 'git', command: () => ['/usr/bin/git', 'hash-object', '--stdin'], input: LINES },
  { name: 'openssl', command: () => ['/usr/bin/openssl', 'dgst', '-sha256'], input: LINES },
  {
    name: 'curl, of a local server',
    command: () => ['/usr/bin/curl', '-s', '--unix-socket', startHttpServer(), '-K', '-'],
    input: 'url = "http://localhost/[1-20]"\n',
  },
  {
    name: 'redis under load',
    // Once a second it looks around by itself.
    command: () => [
      '/usr/bin/redis-server',
      ...`--port 0 --unixsocket ${REDIS} --hz 1 --dir ${scratch}`.split(' '),
      '--save',
      '',
    ],
    work() {
      run('redis-benchmark', '-s', REDIS, '-n', '3000', '-c', '10', '-t', 'set,get', '--csv');
      // It ends before it answers.
      spawnSync('redis-cli', ['-s', REDIS, 'shutdown', 'nosave']);
    },
    input: '',
    killedAtEnd: 8,
  },
  {
    name: 'a Go program',
    command: () => ['/usr/bin/env', 'GODEBUG=asyncpreemptoff=1', goProgram()],
    input: 'go\nmore\n',
    killedAtEnd: 16,
  },
  { name: 'a forking server', command: () => [compileTarget('forking-server')], input: LINES.slice(0, 600) },
  {
    name: 'a static program',
    command: () => [compileTarget('forking-server', ['-static'])],
    input: LINES.slice(0, 600),
  },
  {
    name: 'a static program with musl',
    command: () => [muslProgram()],
    input: LINES.slice(0, 600),
  },
];

function muslProgram(): string {
  const path = join(scratch, 'forking-server-musl');
  const source = join(ROOT, 'tests/targets/forking-server.c');
  const built = spawnSync('musl-gcc', ['-O2', '-static', '-o', path, source], { encoding: 'utf8' });
  assert.equal(built.status, 0, built.stderr);
  return path;
}

/** Servers that programs ask. */
const servers: Interactive[] = [];

/** @returns its socket */
function startHttpServer(): string {
  const path = join(scratch, 'http');
  servers.push(new Interactive(process.execPath, ['-e', HTTP, path]));
  return path;
}

function run(command: string, ...args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(command, args, { encoding: 'utf8' });
  assert.equal(status, 0, `${command}: ${stderr || error}`);
}

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
    this.settle();
  }

  /** Returns when all its threads are in the kernel again. */
  settle(): void {
    waitUntil('it waits for its input', () => this.isWaiting(), 20_000);
  }

  /** All its threads sleep, one of them for its input: in read, poll, select, pselect6, epoll_wait or epoll_pwait. */
  isWaiting(): boolean {
    if (stateOf(this.pid) === undefined) throw new Error(readFileSync(join(scratch, 'out'), 'utf8'));
    const calls = readdirSync(`/proc/${this.pid}/task`).map((tid) =>
      readFileSync(`/proc/${this.pid}/task/${tid}/syscall`, 'latin1'),
    );
    return calls.every((call) => /^\d/.test(call)) && calls.some((call) => /^(0 0x0|7|23|270|232|281) /.test(call));
  }

  finish(input: string): void {
    for (let at = 0; at < input.length; ) at += writeSync(this.#input, input.slice(at, at + 4096));
    closeSync(this.#input);
    waitUntil('it has ended', () => this.#hasEnded(), 30_000);
  }

  /** The first thread may be a zombie while others are still being killed. */
  #hasEnded(): boolean {
    if (stateOf(this.pid) === undefined) return true;
    return stateOf(this.pid) === 'Z' && readdirSync(`/proc/${this.pid}/task`).length === 1;
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

const ENTERED = { direction: 'enter' } as const;
const LEFT = { direction: 'exit' } as const;
/** ERESTARTSYS, ERESTARTNOINTR: cut short by a signal, and begun anew by the kernel, which counts each try; or by the thread's end. */
const BEGUN_ANEW = { direction: 'exit', filter: 'ret == -512 || ret == -513' } as const;
/** The calls that each have a counter of their own. */
const SINGLE = [...SYSCALL_NUMBERS].map(([name, number]) => ({
  direction: 'enter' as const,
  name,
  number,
  filter: `id == ${number}`,
}));

/** Both count from one moment on, in which nothing happens: then the kernel's counters are zero, and ours what is given back. */
function countFromNow(waiting: Waiting, object: BpfObject) {
  const ours = () => [countsIn(object, 'entered'), countsIn(object, 'left')] as const;
  for (;;) {
    // Calls that our coming cut short are begun anew, when the thread gets its turn: not now.
    waiting.settle();
    const before = ours();
    const kernel = new KernelCounts(waiting.pid, [ENTERED, LEFT, BEGUN_ANEW, ...SINGLE]);
    const isStill =
      waiting.isWaiting() && kernel.read(ENTERED) + kernel.read(LEFT) === 0 && isDeepStrictEqual(before, ours());
    if (isStill) return { kernel, before };
    kernel[Symbol.dispose]();
  }
}

describe('fault E1', { skip: CANNOT_TRACE }, () => {
  after(() => {
    for (const server of servers) server[Symbol.dispose]();
    rmSync(scratch, { recursive: true });
  });

  for (const { name, command, work, input, killedAtEnd = 0 } of PROGRAMS) {
    it(`E1: ${name} makes as many calls as the kernel says`, () => {
      writeFileSync(join(scratch, 'out'), '');
      using waiting = new Waiting(command());
      using process = openProcess(waiting.pid);
      using object = openObject(objectFile('syscalls'));
      const links = ['on_enter', 'on_exit'].map((program) => object.program(program).attach(process));
      const { before, kernel: counting } = countFromNow(waiting, object);
      using kernel = counting;
      work?.();
      waiting.finish(input);
      const [entered, left] = (['entered', 'left'] as const).map((map, n) =>
        countsIn(object, map).map((count, number) => count - before[n]![number]!),
      ) as [number[], number[]];
      const anew = kernel.read(BEGUN_ANEW);
      const between = (value: number, least: number, most: number, what: string): void =>
        assert.ok(value >= least && value <= most, `${what}: the kernel has ${value} more, wanted ${least} to ${most}`);
      // A thread that is killed may have come past our program and not to its call, or from its call and not to our program.
      for (const single of SINGLE) {
        between(kernel.read(single) - entered[single.number]!, -killedAtEnd, anew, single.name);
      }
      between(kernel.read(ENTERED) - anew - sum(entered), -killedAtEnd, 0, 'entries');
      const inChildren = sum(RETURN_TWICE.map((number) => entered[number]!));
      const seen = sum(left) + inChildren + entered[RT_SIGRETURN]!;
      between(kernel.read(LEFT) - anew - seen, 0, killedAtEnd, 'exits');
      assert.ok(sum(entered) > 2, 'it made calls');
      for (const { missed, method } of links) assert.deepEqual([missed, method], [0n, 'jump']);
    });
  }
});
