/** The results as people read them: text tables, units in the heading. */
import type { AttachCost, MemoryCost } from './attach-cost.ts';
import type { CallCost } from './call-cost.ts';
import type { StartUp } from './start-up.ts';
import type { Spread } from './stats.ts';

export interface Results {
  readonly machine: Machine;
  readonly rounds: number;
  readonly calls: readonly CallCost[];
  readonly attach: readonly AttachCost[];
  readonly memory: readonly MemoryCost[];
  readonly startUp: readonly StartUp[];
}

/** What the figures depend on. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly linux: string;
  readonly node: string;
  /** Of the last minute, when the bench began: what else ran. */
  readonly loadAverage: number;
}

type Row = readonly string[];

/** All tables, ready to print. */
export function report(results: Results): string {
  const { machine, rounds } = results;
  return [
    `${machine.cpu}, ${machine.cores} cores, Linux ${machine.linux}, Node ${machine.node}, load ${machine.loadAverage}`,
    section(`ns added to a call (min / median of ${rounds} interleaved rounds)`, callRows(results.calls)),
    section('attach and detach (min / median)', attachRows(results.attach)),
    section('bytes the target has more (mapped, resident)', memoryRows(results.memory)),
    section('start-up of the command, ms (min / median)', startUpRows(results.startUp)),
  ].join('\n\n');
}

function section(title: string, rows: readonly Row[]): string {
  return rows.length > 1 ? `${title}\n\n${table(rows)}` : `${title}: not measured`;
}

function callRows(costs: readonly CallCost[]): Row[] {
  return [
    ['program', 'function', 'bare', 'remora', 'kernel', 'ratio', 'goal'],
    ...costs.map((cost) => {
      const { remora, kernel } = cost.sides;
      return [
        cost.workload.label,
        cost.function.label,
        pair(cost.bare, 2),
        remora ? pair(remora.added, 2) : '-',
        kernel ? pair(kernel.added, 0) : '-',
        remora && kernel ? `${ratio(cost)!.toFixed(0)} x` : '-',
        verdict(cost),
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

/** The goals of one measurement, and whether the minima meet them: what else runs here is not our cost. */
function verdict(cost: CallCost): string {
  const { remora } = cost.sides;
  const { goalNs } = cost.workload;
  const { goalRatio } = cost.function;
  const reached = ratio(cost);
  const goals: string[] = [];
  if (remora && goalNs !== undefined) {
    goals.push(`${remora.added.min <= goalNs ? 'ok' : 'MISSED'} <= ${goalNs} ns`);
  }
  if (reached !== undefined && goalRatio !== undefined) {
    goals.push(`${reached >= goalRatio ? 'ok' : 'MISSED'} >= ${goalRatio} x`);
  }
  const miscounted = Object.entries(cost.sides).filter(([, side]) => side.miscounted > 0);
  goals.push(...miscounted.map(([side, { miscounted }]) => `${side} MISCOUNTED by ${miscounted}`));
  return goals.join(', ');
}

function attachRows(costs: readonly AttachCost[]): Row[] {
  return [
    ['threads', 'side', 'cycles', 'attach ms', 'detach ms', 'pause us', 'stood still us'],
    ...costs.map(({ threads, activity, side, cycles, attachMs, detachMs, pauseUs, stillUs }) => [
      `${threads} ${activity}`,
      side,
      String(cycles),
      pair(attachMs, 1),
      pair(detachMs, 1),
      pauseUs ? pair(pauseUs, 0) : 'none',
      pair(stillUs, 0),
    ]),
  ];
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
