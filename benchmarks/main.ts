/**
 * `npm run bench`: what our probes cost beside the kernel's own uprobes with the same programs, in one interleaved run.
 * Prints tables and writes JSON. Needs gcc, and the rights to attach; without the rights to load programs into the
 * kernel it says so and measures our side alone.
 *
 *   node dist/benchmarks/main.js [--rounds N] [--only PATTERN] [--out FILE]
 *
 * PATTERN is a regular expression for names of rows ('entry and return, empty, push, 2 threads') and of tables ('sites', 'system calls', 'throughput',
 * 'attach', 'memory', 'start-up', 'verifier', 'maps', 'rings'); with it, JSON is written only where --out says.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readObject } from '../src/object/read-object.ts';
import { ROOT } from '../tests/support/root.ts';
import { measureAttach, measureMemory } from './attach-cost.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { CALL_CASES, callCaseName, measureCalls } from './call-cost.ts';
import { kernelSide } from './kernel-side.ts';
import { MAPS_OBJECT_PATH, measureMaps } from './map-cost.ts';
import { remoraSide } from './remora-side.ts';
import { type Results, report } from './report.ts';
import { measureRings } from './ring-rate.ts';
import type { Side } from './side.ts';
import { measureSites } from './site-cost.ts';
import { measureStartUp } from './start-up.ts';
import { measureSystemCalls } from './system-call-cost.ts';
import { measureThroughput } from './throughput.ts';
import { measureVerifier } from './verifier-cost.ts';
import { type BenchProbe, FUNCTIONS, OBJECT_PATH, WORKLOADS } from './workloads.ts';

const MEASUREMENT_MS = 60;
const ATTACH_CYCLES = 3;
/** More of them: the first few warm our own code up. */
const SITE_CYCLES = 10;
const START_UPS = 10;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    only: { type: 'string', default: '' },
    out: { type: 'string' },
  },
});
const rounds = Number(options.rounds);
const only = new RegExp(options.only);
const out = options.out ?? (options.only === '' ? join(ROOT, 'benchmarks/results/bench.json') : undefined);
const cases = CALL_CASES.filter((one) => only.test(callCaseName(one)));

// Before anything else runs.
const machine = {
  cpu: cpus()[0]!.model,
  cores: cpus().length,
  linux: release(),
  node: process.version,
  loadAverage: Number(loadavg()[0]!.toFixed(1)),
  date: new Date().toISOString().slice(0, 10),
};
const verifier = wants('verifier') ? measureVerifier(rounds) : [];
const startUp = wants('start-up') ? measureStartUp(START_UPS) : [];
using binary = new TargetBinary();
using target = await BenchTarget.start(binary.path);
const sides = await workingSides([remoraSide(OBJECT_PATH), kernelSide(readObject(readFileSync(OBJECT_PATH)))]);
const results: Results = {
  machine,
  rounds,
  startUp,
  verifier,
  clockNs: await measureClock(),
  calls: await measureCalls(target, sides, cases, {
    rounds,
    milliseconds: MEASUREMENT_MS,
    onRound: (round) => progress(`${cases.length} rows, round ${round + 1} of ${rounds}`),
  }),
  maps: wants('maps') ? await measureMaps(target, await mapSides(), { rounds, milliseconds: MEASUREMENT_MS }) : [],
  rings: wants('rings') ? await measureRings(target, rounds) : [],
  // Before the crowds: they only go when the event loop turns, and this does not let it.
  sites: wants('sites') ? measureSites(SITE_CYCLES) : [],
  systemCalls: wants('system calls') ? measureSystemCalls(rounds) : [],
  throughput: wants('throughput') ? measureThroughput(rounds) : [],
  attach: wants('attach') ? await measureAttach(binary, sides, ATTACH_CYCLES) : [],
  memory: wants('memory') ? await measureMemory(binary.path, sides) : [],
};
console.log(report(results));
if (out !== undefined) writeFileSync(out, `${JSON.stringify(results, undefined, 2)}\n`);
// A slow machine misses goals, but nothing excuses a lost count.
const miscounted = [
  ...results.calls.map(({ sides }) => sides.remora!.miscounted),
  ...results.systemCalls.map((cost) => cost.miscounted),
  ...results.rings.map((rate) => rate.miscounted),
];
if (miscounted.some((count) => count > 0)) process.exitCode = 1;

/** The same sides with the programs of maps. */
function mapSides(): Promise<Side[]> {
  const path = MAPS_OBJECT_PATH;
  return workingSides(
    [remoraSide(path), kernelSide(readObject(readFileSync(path)))],
    [{ program: 'empty', at: 'entry' }],
  );
}

/** The quietest of as many measurements as there are rounds. */
async function measureClock(): Promise<number> {
  const times: number[] = [];
  for (let n = 0; n < rounds; n++) times.push((await target.measure('clock', MEASUREMENT_MS)).min);
  return Math.min(...times);
}

/** Whether a table is to be measured; says that it is. */
function wants(name: string): boolean {
  const isWanted = only.test(name);
  if (isWanted) progress(name);
  return isWanted;
}

function progress(text: string): void {
  console.error(`${performance.now().toFixed(0).padStart(7)} ms: ${text}`);
}

/** The sides that can attach here. What the kernel refuses is said and left out; our own failure ends the bench. */
async function workingSides(
  [remora, kernel]: readonly [Side, Side],
  probes: readonly BenchProbe[] = WORKLOADS[0]!.probes,
): Promise<Side[]> {
  try {
    kernel.attach(probes, target, FUNCTIONS[0]!.symbol)[Symbol.dispose]();
    return [remora, kernel];
  } catch (error) {
    console.error(`kernel side left out: ${error instanceof Error ? error.message : error}`);
    return [remora];
  }
}
