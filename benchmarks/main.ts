/**
 * `npm run bench`: what our probes cost beside the kernel's own uprobes with the same programs, in one interleaved run.
 * Prints tables and writes JSON. Needs gcc, and the rights to attach; without the rights to load programs into the
 * kernel it says so and measures our side alone.
 *
 *   node dist/benchmarks/main.js [--rounds N] [--out FILE]
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { readObject } from '../src/object/read-object.ts';
import { ROOT } from '../tests/support/root.ts';
import { measureAttach, measureMemory } from './attach-cost.ts';
import { BenchTarget, TargetBinary } from './bench-target.ts';
import { measureCalls } from './call-cost.ts';
import { kernelSide } from './kernel-side.ts';
import { remoraSide } from './remora-side.ts';
import { type Results, report } from './report.ts';
import type { Side } from './side.ts';
import { measureSites } from './site-cost.ts';
import { measureStartUp } from './start-up.ts';
import { FUNCTIONS, OBJECT_PATH, WORKLOADS } from './workloads.ts';

const MEASUREMENT_MS = 60;
const ATTACH_CYCLES = 3;
const START_UPS = 10;

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '7' },
    out: { type: 'string', default: join(ROOT, 'benchmarks/results.json') },
  },
});
const rounds = Number(options.rounds);

// Before anything else runs.
const machine = {
  cpu: cpus()[0]!.model,
  cores: cpus().length,
  linux: release(),
  node: process.version,
  loadAverage: Number(loadavg()[0]!.toFixed(1)),
};
const startUp = measureStartUp(START_UPS);
using binary = new TargetBinary();
using target = await BenchTarget.start(binary.path);
const sides = await workingSides([remoraSide(OBJECT_PATH), kernelSide(readObject(readFileSync(OBJECT_PATH)))]);
const results: Results = {
  machine,
  rounds,
  startUp,
  calls: await measureCalls(target, sides, rounds, MEASUREMENT_MS),
  // Before the crowds: they only go when the event loop turns, and this does not let it.
  sites: measureSites(ATTACH_CYCLES),
  attach: await measureAttach(binary.path, sides, ATTACH_CYCLES),
  memory: await measureMemory(binary.path, sides),
};
console.log(report(results));
writeFileSync(options.out, `${JSON.stringify(results, undefined, 2)}\n`);
// A slow machine misses goals, but nothing excuses a lost count.
if (results.calls.some(({ sides }) => sides.remora!.miscounted > 0)) process.exitCode = 1;

/** The sides that can attach here. What the kernel refuses is said and left out; our own failure ends the bench. */
async function workingSides([remora, kernel]: readonly [Side, Side]): Promise<Side[]> {
  try {
    kernel.attach(WORKLOADS[0]!.program, target, FUNCTIONS[0]!.symbol)[Symbol.dispose]();
    return [remora, kernel];
  } catch (error) {
    console.error(`kernel side left out: ${error instanceof Error ? error.message : error}`);
    return [remora];
  }
}
