/**
 * What servers lose in throughput while every system call of theirs is counted: redis, and an HTTP server of Node's, asked on many
 * connections. The server has one processor for itself, and who asks another. Runs are short, bare and counted ones in turn as in
 * A B B A, so that a machine that grows slower or faster favours neither, and of each the stretches count that nothing else disturbed; from
 * the differences of many such quadruples comes an interval in which their median lies in 95 of 100 cases. Told are requests a second, and the server's processor time for each.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { type BpfObject, openObject, openProcess, type TargetProcess } from '../src/index.ts';
import { Interactive } from '../tests/support/interactive.ts';
import { ROOT } from '../tests/support/root.ts';
import { compileTarget, waitUntil } from '../tests/support/targets.ts';
import { type Interval, medianInterval, spread } from './stats.ts';

/** The most that may be lost. */
export const THROUGHPUT_GOAL = 0.02;

/**
 * Requests a second without and with programs: medians; how many system calls the server makes for each. What share of them is lost, by all runs and by the fastest of each kind, and how
 * much more processor time one takes.
 */
export interface ThroughputCost {
  readonly server: string;
  readonly label: string;
  readonly bare: number;
  readonly counted: number;
  readonly calls: number;
  readonly lost: Interval;
  readonly fastestLost: number;
  readonly busier: Interval;
}

const OBJECT = join(ROOT, 'tests/objects/clang-19/syscalls.bpf.o');
const CONNECTIONS = 20;
/** Requests of a stretch: as in tests/targets/asking-servers.c. */
const WINDOW = 200;
const LAST_PROCESSOR = cpus().length - 1;
/** Quadruples for each round that was asked for. */
const QUADRUPLES = 2;
/** How long a run is to take. */
const RUN_MS = 250;

const CASES = [
  { label: 'at entry', programs: ['on_enter'] },
  { label: 'at entry and exit', programs: ['on_enter', 'on_exit'] },
] as const;

interface Run {
  /** Both in nanoseconds for a request; the latter of the server. */
  readonly time: number;
  readonly busy: number;
}

/** A server and who asks it, each on its processor. */
class Served implements Disposable {
  readonly pid: number;
  readonly #server: Interactive;
  readonly #asking: Interactive;
  #windows = 1;

  constructor(server: Interactive, socket: string, { request, answer }: { request: string; answer: string }) {
    this.#server = server;
    this.pid = server.pid;
    const escaped = [request, answer].map((text) => text.replaceAll('\r', '\\r').replaceAll('\n', '\\n'));
    this.#asking = new Interactive(compileTarget('asking-servers'), [socket, `${CONNECTIONS}`, ...escaped]);
    pin(this.#asking.pid, '0');
    pin(server.pid, `${LAST_PROCESSOR}`);
    // We only look whether it is done: that is not to disturb the server.
    pin(process.pid, '0');
    // Until both are warm.
    for (let n = 0; n < 8; n++) this.#windows = Math.ceil((RUN_MS * 1e6) / (WINDOW * this.run().time));
  }

  /** Of a run. */
  get requests(): number {
    return this.#windows * WINDOW;
  }

  run(): Run {
    const before = { busy: processorTime(this.pid), output: this.#asking.output };
    this.#asking.say(`${this.#windows}`);
    waitUntil('they are answered', () => this.#asking.output !== before.output, 60_000);
    const busy = processorTime(this.pid) - before.busy;
    const time = Number(this.#asking.output.slice(before.output.length));
    return { time: time / WINDOW, busy: busy / this.requests };
  }

  [Symbol.dispose](): void {
    pin(process.pid, `0-${LAST_PROCESSOR}`);
    this.#asking[Symbol.dispose]();
    this.#server[Symbol.dispose]();
  }
}

/** @param rounds more of them make the interval smaller. Servers that are not installed are left out */
export function measureThroughput(rounds: number): ThroughputCost[] {
  const hasRedis = spawnSync('redis-server', ['--version']).status === 0;
  return (hasRedis ? [REDIS, HTTP] : [HTTP]).flatMap(({ name, start }) => {
    const folder = mkdtempSync(join(tmpdir(), 'remora-throughput-'));
    try {
      using served = start(folder);
      return CASES.map((one) => ({ server: name, ...measureCase(served, one, rounds * QUADRUPLES) }));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
}

function measureCase(served: Served, { label, programs }: (typeof CASES)[number], quadruples: number) {
  using target = openProcess(served.pid);
  const found = Array.from({ length: quadruples }, () => {
    const first = served.run();
    const counted = countedRuns(served, target, programs);
    return { bare: summary([first, served.run()]), counted: summary(counted.runs), calls: counted.calls };
  });
  const fastest = (kind: 'bare' | 'counted'): number => Math.min(...found.map((one) => one[kind].fastest));
  const perSecond = (runs: readonly Run[]): number => 1e9 / spread(runs.map(({ time }) => time)).median;
  return {
    label,
    bare: perSecond(found.map(({ bare }) => bare)),
    counted: perSecond(found.map(({ counted }) => counted)),
    calls: spread(found.map(({ calls }) => calls)).median,
    lost: medianInterval(found.map(({ bare, counted }) => 1 - bare.time / counted.time)),
    fastestLost: 1 - fastest('bare') / fastest('counted'),
    busier: medianInterval(found.map(({ bare, counted }) => counted.busy / bare.busy - 1)),
  };
}

function countedRuns(served: Served, target: TargetProcess, programs: readonly string[]) {
  using object: BpfObject = openObject(readFileSync(OBJECT));
  const links = programs.map((program) => object.program(program).attach(target));
  const runs = [served.run(), served.run()];
  const calls = Number(links[0]!.hits) / (runs.length * served.requests);
  if (calls < 1) throw new Error(`${served.pid} makes fewer calls than it answers requests`);
  return { runs, calls };
}

/** Of two runs of a quadruple. */
interface Summary extends Run {
  readonly fastest: number;
}

function summary(runs: readonly Run[]): Summary {
  const mean = (part: keyof Run): number => runs.reduce((sum, run) => sum + run[part], 0) / runs.length;
  return { time: mean('time'), busy: mean('busy'), fastest: Math.min(...runs.map(({ time }) => time)) };
}

/** Has all threads of a process, and those they make, run on some processors. */
function pin(pid: number, processors: string): void {
  const { status, stderr } = spawnSync('taskset', ['-a', '-c', '-p', processors, `${pid}`], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot pin ${pid}: ${stderr}`);
}

/** Of all threads there are, in nanoseconds. */
function processorTime(pid: number): number {
  const times = readdirSync(`/proc/${pid}/task`).map((tid) =>
    Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'latin1').split(' ')[0]),
  );
  return times.reduce((sum, time) => sum + time, 0);
}

const REDIS = {
  name: 'redis',
  start(folder: string): Served {
    const socket = join(folder, 'socket');
    const args = ['--port', '0', '--unixsocket', socket, '--save', '', '--dir', folder];
    return new Served(new Interactive('redis-server', args), socket, { request: 'GET a\r\n', answer: '$-1\r\n' });
  },
};

const HTTP_SERVER = `
const server = require('node:http').createServer((_, response) => response.end('hello'));
server.keepAliveTimeout = 0;
server.listen(process.argv[1], () => console.log('ready'));`;

const HTTP = {
  name: 'HTTP of Node',
  start(folder: string): Served {
    const socket = join(folder, 'socket');
    const server = new Interactive(process.execPath, ['-e', HTTP_SERVER, socket]);
    return new Served(server, socket, {
      request: 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
      answer: '\r\n\r\nhello',
    });
  },
};
