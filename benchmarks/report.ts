/** The results as people read them: text tables, units in the heading. */
import type { AttachCost, MemoryCost } from './attach-cost.ts';
import type { CallCost } from './call-cost.ts';
import type { MapCost } from './map-cost.ts';
import { RING_GOAL, type RingRate } from './ring-rate.ts';
import { SITE_GOALS, type SiteCost } from './site-cost.ts';
import type { StartUp } from './start-up.ts';
import type { Interval, Spread } from './stats.ts';
import type { SystemCallCost } from './system-call-cost.ts';
import { THROUGHPUT_GOAL, type ThroughputCost } from './throughput.ts';
import type { VerifierCost } from './verifier-cost.ts';
import { GOAL_SCALING, PUSH } from './workloads.ts';

export interface Results {
  readonly machine: Machine;
  readonly rounds: number;
  /** What reading the clock costs the target by itself, in ns. */
  readonly clockNs: number;
  readonly calls: readonly CallCost[];
  readonly attach: readonly AttachCost[];
  readonly sites: readonly SiteCost[];
  readonly systemCalls: readonly SystemCallCost[];
  readonly throughput: readonly ThroughputCost[];
  readonly memory: readonly MemoryCost[];
  readonly startUp: readonly StartUp[];
  readonly verifier: readonly VerifierCost[];
  readonly maps: readonly MapCost[];
  readonly rings: readonly RingRate[];
}

/** What the figures depend on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly linux: string;
  readonly node: string;
  /** Of the last minute, when the bench began: what else ran. */
  readonly loadAverage: number;
  /** When it was measured, as in 2026-01-31. */
  readonly date: string;
}

type Row = readonly string[];

/** All tables, ready to print. */
export function report(results: Results): string {
  const { machine, rounds } = results;
  return [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.linux}, Node ${machine.node}, load ${machine.loadAverage}, ${machine.date}`,
    section(`ns added to a call (min / median of ${rounds} interleaved rounds)`, callRows(results.calls)),
    `reading the clock costs ${results.clockNs.toFixed(1)} ns here; the latency histogram reads it twice a call`,
    section('attach and detach (min / median)', attachRows(results.attach)),
    section('one program at many functions (min / median)', siteRows(results.sites)),
    section('ns added to system calls (min / median)', systemCallRows(results.systemCalls)),
    section(
      'requests of servers (medians of interleaved runs, and between what they lie in 95 of 100 cases)',
      throughputRows(results.throughput),
    ),
    section('bytes the target has more (mapped, resident)', memoryRows(results.memory)),
    section('start-up of the command, ms (min / median)', startUpRows(results.startUp)),
    section('ns an operation on a map (min)', mapRows(results.maps)),
    section('events of 16 bytes through a ring buffer, millions a second (best)', ringRows(results.rings)),
    section('verdicts, ms (min / median)', verifierRows(results.verifier)),
  ]
    .filter((part) => part !== '')
    .join('\n\n');
}

/** A table under its title; nothing if nothing was measured. */
function section(title: string, rows: readonly Row[]): string {
  return rows.length > 1 ? `${title}\n\n${table(rows)}` : '';
}

function callRows(costs: readonly CallCost[]): Row[] {
  return [
    ['program', 'function', 'threads', 'bare', 'remora', 'kernel', 'ratio', 'scaling', 'goal'],
    ...costs.map((cost) => {
      const { remora, kernel } = cost.sides;
      const scaled = scaling(cost, costs);
      return [
        cost.workload.label,
        cost.function.label,
        String(cost.threads),
        pair(cost.bare, 2),
        remora ? pair(remora.added, 2) : '-',
        kernel ? pair(kernel.added, 0) : '-',
        remora && kernel ? `${ratio(cost)!.toFixed(0)} x` : '-',
        scaled === undefined ? '' : `${scaled.toFixed(2)} x`,
        verdict(cost, scaled),
      ];
    }),
  ];
}

/** Less than this cannot be told from the bare call, in ns. */
const RESOLUTION = 0.1;

/** How many times more the kernel adds, by minima; undefined unless both sides were measured. */
function ratio({ sides: { remora, kernel } }: CallCost): number | undefined {
  return remora && kernel && kernel.added.min / Math.max(remora.added.min, RESOLUTION);
}

/** How many times the calls of one thread this many get done in the same time, probes included. */
function scaling({ workload, function: fn, threads, sides }: CallCost, costs: readonly CallCost[]): number | undefined {
  if (threads === 1) return undefined;
  const alone = costs.find((cost) => cost.workload === workload && cost.function === fn && cost.threads === 1);
  const one = alone?.sides.remora?.call.min;
  const many = sides.remora?.call.min;
  return one === undefined || many === undefined ? undefined : (threads * one) / many;
}

/** The goals of one measurement, and whether the minima meet them: what else runs here is not our cost. */
function verdict(cost: CallCost, scaled: number | undefined): string {
  const { remora } = cost.sides;
  const { goalNs, goalRatio } = cost.workload;
  const reached = ratio(cost);
  const isJudged = cost.threads === 1;
  const goals: string[] = [];
  if (remora && isJudged && goalNs !== undefined) {
    goals.push(`${remora.added.min <= goalNs ? 'ok' : 'MISSED'} <= ${goalNs} ns`);
  }
  if (isJudged && reached !== undefined && goalRatio !== undefined && cost.function === PUSH) {
    goals.push(`${reached >= goalRatio ? 'ok' : 'MISSED'} >= ${goalRatio} x`);
  }
  if (scaled !== undefined) goals.push(`${scaled >= GOAL_SCALING ? 'ok' : 'MISSED'} >= ${GOAL_SCALING} x`);
  const miscounted = Object.entries(cost.sides).filter(([, side]) => side.miscounted > 0);
  goals.push(...miscounted.map(([side, { miscounted }]) => `${side} MISCOUNTED by ${miscounted}`));
  return goals.join(', ');
}

/** How long a target may stand still at a time, in us, by how many threads it has and what they do. */
const PAUSE_GOALS: Readonly<Record<string, number>> = {
  '1 idle': 500,
  '16 idle': 1000,
  '256 idle': 4000,
  '256 calling': 6000,
};

function attachRows(costs: readonly AttachCost[]): Row[] {
  const judged = (crowd: string, { min }: Spread): string => {
    const goal = PAUSE_GOALS[crowd];
    return goal === undefined ? '' : ` (${min <= goal ? 'ok' : 'MISSED'} <= ${goal})`;
  };
  return [
    ['threads', 'side', 'cycles', 'attach ms', 'detach ms', 'pause us', 'floor us', 'of the floor', 'stood still us'],
    ...costs.map(({ threads, activity, side, cycles, attachMs, detachMs, pauseUs, floorUs, stillUs }) => [
      `${threads} ${activity}`,
      side,
      String(cycles),
      pair(attachMs, 1),
      pair(detachMs, 1),
      pauseUs ? pair(pauseUs, 0) + judged(`${threads} ${activity}`, pauseUs) : 'none',
      floorUs ? pair(floorUs, 0) : '',
      floorUs && pauseUs ? `${(pauseUs.min / floorUs.min).toFixed(1)} x` : '',
      pair(stillUs, 0),
    ]),
  ];
}

function siteRows(costs: readonly SiteCost[]): Row[] {
  const cell = ({ sites }: SiteCost, spread: Spread, goal: number, digits: number): string => {
    const judged = sites === SITE_GOALS.sites ? ` (${spread.min <= goal ? 'ok' : 'MISSED'} <= ${goal})` : '';
    return pair(spread, digits) + judged;
  };
  return [
    ['functions', 'attach ms', 'detach ms', 'pause us'],
    ...costs.map((cost) => [
      String(cost.sites),
      cell(cost, cost.attachMs, SITE_GOALS.attachMs, 1),
      cell(cost, cost.detachMs, SITE_GOALS.detachMs, 1),
      cell(cost, cost.pauseUs, SITE_GOALS.pauseUs, 0),
    ]),
  ];
}

function systemCallRows(costs: readonly SystemCallCost[]): Row[] {
  return [
    ['at getppid and read', 'getppid', 'read', 'getuid', 'of the kernel’s', 'goal'],
    ...costs.map((cost) => {
      const { label, getppid, read, getuid, goals, miscounted } = cost;
      const { tracedNs, untracedNs, besides } = goals;
      const kernel = costs.find((one) => one.label === besides?.label);
      const share = kernel && (getppid.min + read.min) / (kernel.getppid.min + kernel.read.min);
      const verdicts: string[] = miscounted > 0 ? [`MISCOUNTED by ${miscounted}`] : [];
      const judge = (is: boolean, goal: string): void => {
        verdicts.push(`${is ? 'ok' : 'MISSED'} <= ${goal}`);
      };
      if (tracedNs !== undefined) judge(Math.max(getppid.min, read.min) <= tracedNs, `${tracedNs} ns`);
      if (untracedNs !== undefined) judge(getuid.min <= untracedNs, `${untracedNs} ns untraced`);
      if (besides !== undefined && share !== undefined) judge(share <= besides.share, `${percent(besides.share)}`);
      const times = [getppid, read, getuid].map((spread) => pair(spread, 1));
      return [label, ...times, share === undefined ? '' : percent(share), verdicts.join(', ')];
    }),
  ];
}

function throughputRows(costs: readonly ThroughputCost[]): Row[] {
  return [
    [
      'server',
      'every call counted',
      'bare',
      'counted',
      'lost',
      'by the fastest runs',
      'goal',
      'processor time a request',
    ],
    ...costs.map(({ server, label, calls, bare, counted, lost, fastestLost, busier }) => [
      server,
      label,
      calls.toFixed(2),
      `${(bare / 1000).toFixed(1)} k/s`,
      `${(counted / 1000).toFixed(1)} k/s`,
      interval(lost),
      `${(100 * fastestLost).toFixed(1)} %`,
      `${lost.to <= THROUGHPUT_GOAL ? 'ok' : lost.from > THROUGHPUT_GOAL ? 'MISSED' : 'not certain'} <= ${percent(THROUGHPUT_GOAL)}`,
      interval(busier),
    ]),
  ];
}

function interval({ median, from, to }: Interval): string {
  const [middle, low, high] = [median, from, to].map((share) => (100 * share).toFixed(1));
  return Number.isFinite(from) ? `${middle} % (${low} to ${high})` : `${middle} %`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}

function memoryRows(costs: readonly MemoryCost[]): Row[] {
  return [
    ['side', 'attached', 'detached'],
    ...costs.map(({ side, attached, detached }) => [
      side,
      `${attached.mapped}, ${attached.resident}`,
      `${detached.mapped}, ${detached.resident}`,
    ]),
  ];
}

function mapRows(costs: readonly MapCost[]): Row[] {
  return [
    ['operation', 'threads', 'remora', 'kernel', 'ratio', 'goal'],
    ...costs.map(({ label, threads, remora, kernel, goalNs, goalRatio }) => {
      const reached = kernel === undefined ? undefined : kernel / Math.max(remora, RESOLUTION);
      const goals: string[] = [];
      if (goalNs !== undefined && threads === 1) goals.push(`${remora <= goalNs ? 'ok' : 'MISSED'} <= ${goalNs} ns`);
      if (reached !== undefined) goals.push(`${reached >= goalRatio ? 'ok' : 'MISSED'} >= ${goalRatio} x`);
      return [
        label,
        String(threads),
        remora.toFixed(2),
        kernel?.toFixed(2) ?? '-',
        reached === undefined ? '-' : `${reached.toFixed(1)} x`,
        goals.join(', '),
      ];
    }),
  ];
}

function ringRows(rates: readonly RingRate[]): Row[] {
  return [
    ['side', 'producers', 'read', 'sent', 'ns a call', 'goal'],
    ...rates.map(({ side, threads, readPerUs, sentPerUs, callNs, miscounted }) => {
      const goal = `${readPerUs >= RING_GOAL ? 'ok' : 'MISSED'} >= ${RING_GOAL}`;
      return [
        side,
        String(threads),
        readPerUs.toFixed(2),
        sentPerUs.toFixed(2),
        callNs.toFixed(1),
        miscounted > 0 ? `MISCOUNTED by ${miscounted}` : side === 'remora' ? goal : '',
      ];
    }),
  ];
}

function startUpRows(startUp: readonly StartUp[]): Row[] {
  return [['command', 'ms'], ...startUp.map(({ command, ms }) => [command, pair(ms, 0)])];
}

function pair({ min, median }: Spread, digits: number): string {
  return `${min.toFixed(digits)} / ${median.toFixed(digits)}`;
}

/** Columns as wide as their widest cell; a rule under the first row. */
function table(rows: readonly Row[]): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const line = (row: Row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd();
  const [heading, ...body] = rows;
  return [line(heading!), widths.map((width) => '-'.repeat(width)).join('  '), ...body.map(line)].join('\n');
}

function verifierRows(costs: readonly VerifierCost[]): Row[] {
  return [
    ['programs', 'instructions', 'looked at', 'remora', 'kernel', 'ratio', 'goal'],
    ...costs.map(({ label, insns, processed, ms, kernelMs, goalMs }) => [
      label,
      String(insns),
      String(processed),
      pair(ms, 1),
      kernelMs ? pair(kernelMs, 1) : '-',
      kernelMs ? `${(ms.min / kernelMs.min).toFixed(1)} x` : '-',
      `${ms.min <= goalMs ? 'ok' : 'MISSED'} <= ${goalMs} ms`,
    ]),
  ];
}
