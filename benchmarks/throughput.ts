/**
 * What servers lose in throughput while every system call of theirs is counted: redis under redis-benchmark, and an HTTP server of
 * Node's under as many connections. Bare and counted runs follow one another, and each counted one is compared with the bare
 * one in front of it: in requests a second, which whatever else runs spoils, and in the server's processor time for each.
 */
import { execFile, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openObject, openProcess } from '../src/index.ts';
import { Interactive } from '../tests/support/interactive.ts';
import { ROOT } from '../tests/support/root.ts';
import { waitUntil } from '../tests/support/targets.ts';
import { spread } from './stats.ts';

/** The most that may be lost. */
export const THROUGHPUT_GOAL = 0.02;

/** Requests a second without and with programs, what share of them is lost, and how much more processor time one takes: medians. */
export interface ThroughputCost {
  readonly server: string;
  readonly label: string;
  readonly bare: number;
  readonly counted: number;
  readonly lost: number;
  readonly busier: number;
}

const OBJECT = join(ROOT, 'tests/objects/clang-19/syscalls.bpf.o');
const CONNECTIONS = 20;
const RUN_MS = 1000;
const REDIS_REQUESTS = 50_000;

const CASES = [
  { label: 'at entry', programs: ['on_enter'] },
  { label: 'at entry and exit', programs: ['on_enter', 'on_exit'] },
] as const;

/** A server that takes requests. */
interface Server extends Disposable {
  readonly name: string;
  readonly pid: number;
  /** One run of requests: how many, and how many a second. */
  run(): Promise<{ readonly requests: number; readonly perSecond: number }>;
}

interface Run {
  readonly perSecond: number;
  /** Of the server, in nanoseconds for a request. */
  readonly busy: number;
}

/** @param rounds of all cases with both servers; those that are not installed are left out */
export async function measureThroughput(rounds: number): Promise<ThroughputCost[]> {
  const costs: ThroughputCost[] = [];
  const hasRedis = ['redis-server', 'redis-benchmark'].every((name) => spawnSync(name, ['--version']).status === 0);
  for (const start of hasRedis ? [startRedis, startHttp] : [startHttp]) {
    const folder = mkdtempSync(join(tmpdir(), 'remora-throughput-'));
    try {
      using server = start(folder);
      await server.run();
      costs.push(...(await measureServer(server, rounds)));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }
  return costs;
}

async function measureServer(server: Server, rounds: number): Promise<ThroughputCost[]> {
  using process = openProcess(server.pid);
  const runs = CASES.map(() => ({ bare: [] as Run[], counted: [] as Run[] }));
  for (let round = 0; round < rounds; round++) {
    for (const [n, { programs }] of CASES.entries()) {
      const bare = await measureRun(server);
      using object = openObject(readFileSync(OBJECT));
      const links = programs.map((program) => object.program(program).attach(process));
      const counted = await measureRun(server);
      if (links.some(({ hits }) => hits === 0n)) throw new Error(`${server.name} makes no system calls`);
      runs[n]!.bare.push(bare);
      runs[n]!.counted.push(counted);
    }
  }
  return CASES.map(({ label }, n) => {
    const { bare, counted } = runs[n]!;
    const median = (numbers: readonly number[]): number => spread(numbers).median;
    return {
      server: server.name,
      label,
      bare: median(bare.map(({ perSecond }) => perSecond)),
      counted: median(counted.map(({ perSecond }) => perSecond)),
      lost: median(counted.map(({ perSecond }, round) => 1 - perSecond / bare[round]!.perSecond)),
      busier: median(counted.map(({ busy }, round) => busy / bare[round]!.busy - 1)),
    };
  });
}

async function measureRun(server: Server): Promise<Run> {
  const before = processorTime(server.pid);
  const { requests, perSecond } = await server.run();
  return { perSecond, busy: (processorTime(server.pid) - before) / requests };
}

/** Of all threads there are, in nanoseconds. */
function processorTime(pid: number): number {
  const times = readdirSync(`/proc/${pid}/task`).map((tid) =>
    Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]),
  );
  return times.reduce((sum, time) => sum + time, 0);
}

function startRedis(folder: string): Server {
  const socket = join(folder, 'socket');
  const server = new Interactive('redis-server', [
    '--port',
    '0',
    '--unixsocket',
    socket,
    '--save',
    '',
    '--dir',
    folder,
  ]);
  waitUntil('redis listens', () => spawnSync('redis-cli', ['-s', socket, 'ping']).status === 0, 20_000);
  const args = ['-s', socket, '-n', `${REDIS_REQUESTS}`, '-c', `${CONNECTIONS}`, '-t', 'get', '--csv'];
  return {
    name: 'redis',
    pid: server.pid,
    async run() {
      const { stdout } = await promisify(execFile)('redis-benchmark', args);
      return { requests: REDIS_REQUESTS, perSecond: Number(/^"GET","([\d.]+)"/m.exec(stdout)![1]) };
    },
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
}

const HTTP_SERVER = `
const server = require('node:http').createServer((_, response) => response.end('hello'));
server.keepAliveTimeout = 0;
server.listen(process.argv[1], () => console.log('ready'));`;
const REQUEST = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n';
/** How its answers end, and nothing else in them does. */
const END_OF_ANSWER = '\r\n\r\nhello';

function startHttp(folder: string): Server {
  const socket = join(folder, 'socket');
  const server = new Interactive(process.execPath, ['-e', HTTP_SERVER, socket]);
  return {
    name: 'HTTP of Node',
    pid: server.pid,
    run: () => requestFor(socket, RUN_MS),
    [Symbol.dispose]: () => server[Symbol.dispose](),
  };
}

/** Each connection asks again when it has its answer. */
async function requestFor(path: string, milliseconds: number) {
  let answers = 0;
  const begin = performance.now();
  await Promise.all(
    Array.from({ length: CONNECTIONS }, async () => {
      const socket = connect(path);
      socket.setEncoding('latin1');
      socket.write(REQUEST);
      let answer = '';
      for await (const data of socket) {
        answer += data;
        if (!answer.endsWith(END_OF_ANSWER)) continue;
        answer = '';
        answers++;
        if (performance.now() - begin >= milliseconds) break;
        socket.write(REQUEST);
      }
    }),
  );
  return { requests: answers, perSecond: (1000 * answers) / (performance.now() - begin) };
}
