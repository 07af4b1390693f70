/**
 * `npm run endurance`: what takes too long for tests. Events through one ring from two producers that do nothing else, each read once or
 * counted as lost; as many as half of the most that were read, for minutes, with none lost; random words written into shared memory
 * while its readers are at work. Prints what came of it and writes JSON; fails where a number is not what it must be.
 *
 *   node dist/benchmarks/endurance.js [--only rings|pace|mutations] [--events N] [--minutes N] [--out FILE]
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { type EventStream, openObject, openProcess } from '../src/index.ts';
import { ROOT } from '../tests/support/root.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { MAPS_OBJECT_PATH } from './map-cost.ts';
import { PUSH } from './workloads.ts';

const PRODUCERS = 2;
/** Bytes of the ring: what is sent while another process has the reader's processor has room in it. */
const RING = 2 ** 26;
/** The reader lets other work be done so often, in milliseconds. */
const TURN_MS = 20;
/** Of one measurement of the most that are read, in milliseconds, and how many there are. */
const PEAK_MS = 2000;
const PEAKS = 3;
/** Written by the long form of these tests. */
const MUTATIONS = 100_000_000;

const { values: options } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    events: { type: 'string', default: '1e9' },
    minutes: { type: 'string', default: '10' },
    out: { type: 'string', default: join(ROOT, 'benchmarks/results/endurance.json') },
  },
});
const wants = (name: string): boolean => options.only === '' || options.only === name;

/** Events of one run: those of `produced` that were neither read nor counted as lost are missing. */
interface Passage {
  readonly produced: number;
  readonly read: number;
  readonly lost: number;
  readonly seconds: number;
}

/** Reads all that is sent by what `send` does; it says how many that were. */
async function pass(events: EventStream, send: () => Promise<number>): Promise<Passage> {
  const before = events.lost;
  const begin = performance.now();
  let isOver = false;
  const sending = send().finally(() => {
    isOver = true;
  });
  let read = 0;
  let sum = 0;
  const look = (bytes: Uint8Array, at: number): void => {
    sum += bytes[at]!;
  };
  while (!isOver) {
    const since = performance.now();
    while (performance.now() - since < TURN_MS) read += events.consume(look);
    await turn();
  }
  const produced = await sending;
  read += events.consume(look);
  if (sum < 0) throw new Error('what was read was not looked at');
  return { produced, read, lost: Number(events.lost - before), seconds: (performance.now() - begin) / 1000 };
}

function isExact({ produced, read, lost }: Passage): boolean {
  return produced === read + lost;
}

/** As many events as are wanted, sent as fast as can be. */
async function passAll(target: BenchTarget, events: EventStream, wanted: number): Promise<Passage> {
  return pass(events, async () => {
    let produced = 0;
    while (produced < wanted) produced += (await target.measure(PUSH.symbol, PEAK_MS, PRODUCERS)).calls;
    return produced;
  });
}

/** Millions a second that are read at the most. */
async function peakOf(target: BenchTarget, events: EventStream): Promise<number> {
  let peak = 0;
  for (let n = 0; n < PEAKS; n++) {
    const { read, seconds } = await pass(
      events,
      async () => (await target.measure(PUSH.symbol, PEAK_MS, PRODUCERS)).calls,
    );
    peak = Math.max(peak, read / seconds / 1e6);
  }
  return peak;
}

function mutate(): { readonly mutations: number; readonly seconds: number; readonly passed: boolean } {
  const begin = performance.now();
  const file = join(ROOT, 'dist/tests/faults/hostile-maps.test.js');
  const { status } = spawnSync(process.execPath, ['--test', '--test-name-pattern=L4', file], {
    env: { ...process.env, REMORA_LONG: '1' },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  return { mutations: MUTATIONS, seconds: (performance.now() - begin) / 1000, passed: status === 0 };
}

const machine = {
  cpu: cpus()[0]!.model,
  cores: cpus().length,
  linux: release(),
  node: process.version,
  loadAverage: Number(loadavg()[0]!.toFixed(1)),
  date: new Date().toISOString().slice(0, 10),
};
const known = (): object => {
  try {
    return JSON.parse(readFileSync(options.out, 'utf8')) as object;
  } catch {
    return {};
  }
};
const results: Record<string, object> = {};

if (wants('rings') || wants('pace')) {
  using binary = new TargetBinary();
  using target = await BenchTarget.start(binary.path);
  using process = openProcess(target.pid);
  using object = openObject(MAPS_OBJECT_PATH, { maxEntries: new Map([['events', RING]]) });
  object.program('send').attachTo(process, `uprobe:bench-target:${PUSH.symbol}`);
  const events = object.map('events').ringBuffer();
  if (wants('rings')) {
    const passage = await passAll(target, events, Number(options.events));
    results.rings = { machine, producers: PRODUCERS, ringBytes: RING, ...passage };
    check('each event is read once or counted', isExact(passage));
  }
  if (wants('pace')) {
    const peakPerUs = await peakOf(target, events);
    const milliseconds = Number(options.minutes) * 60_000;
    const passage = await pass(events, () =>
      target.pace(PUSH.symbol, peakPerUs / 2 / PRODUCERS, milliseconds, PRODUCERS),
    );
    const perUs = passage.produced / passage.seconds / 1e6;
    results.pace = { machine, producers: PRODUCERS, ringBytes: RING, peakPerUs, perUs, ...passage };
    check('each event is read once or counted', isExact(passage));
    check('none is lost at half the peak', passage.lost === 0);
  }
}
if (wants('mutations')) {
  const run = mutate();
  results.mutations = { machine, ...run };
  check('readers stay within bounds', run.passed);
}
console.log(JSON.stringify(results, undefined, 2));
writeFileSync(options.out, `${JSON.stringify({ ...known(), ...results }, undefined, 2)}\n`);

function check(what: string, isSo: boolean): void {
  console.error(`${isSo ? 'ok' : 'NOT OK'}: ${what}`);
  if (!isSo) process.exitCode = 1;
}
