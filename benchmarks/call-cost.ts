/** What a probe adds to one call. Bare, ours and the kernel's follow each other, because the machine drifts. */
import type { BenchTarget, CallTime } from './bench-target.ts';
import { type Attachment, type Side, servesAll } from './side.ts';
import { type Spread, spread } from './stats.ts';
import { type ProbedFunction, WORKLOADS, type Workload } from './workloads.ts';

/** What is measured in one row: programs, the function they are on, and how many threads call it at a time. */
export interface CallCase {
  readonly workload: Workload;
  readonly function: ProbedFunction;
  readonly threads: number;
}

/** One case, over all rounds. Times in ns. */
export interface CallCost extends CallCase {
  /** A call with nothing attached. */
  readonly bare: Spread;
  /** By the name of the side. */
  readonly sides: Readonly<Record<string, SideCost>>;
}

export interface SideCost {
  /** A call, probe included. */
  readonly call: Spread;
  /** What of it is the probe. min: the quietest call less the quietest bare call; median: of the rounds' differences. */
  readonly added: Spread;
  /** How far the hits, and the sum in the program's map, are from what the calls must leave, over all rounds. */
  readonly miscounted: number;
}

export const CALL_CASES: readonly CallCase[] = WORKLOADS.flatMap((workload) =>
  workload.functions.flatMap((fn) => workload.threads.map((threads) => ({ workload, function: fn, threads }))),
);

/** The name of a case: what `--only` is compared with. */
export function callCaseName({ workload, function: fn, threads }: CallCase): string {
  return `${workload.label}, ${fn.label}, ${threads} thread${threads === 1 ? '' : 's'}`;
}

export interface CallEffort {
  readonly rounds: number;
  /** Of one measurement. */
  readonly milliseconds: number;
  /** Told before each round. */
  readonly onRound: (round: number) => void;
}

/** Measures every case on every side that can do it. */
export async function measureCalls(
  target: BenchTarget,
  sides: readonly Side[],
  cases: readonly CallCase[],
  { rounds, milliseconds, onRound }: CallEffort,
): Promise<CallCost[]> {
  const series = cases.map(() => [] as Round[]);
  for (let round = 0; round < rounds; round++) {
    onRound(round);
    for (const [i, one] of cases.entries()) series[i]!.push(await measureRound(target, sides, one, milliseconds));
  }
  return cases.map((one, i) => ({ ...one, ...summarise(series[i]!, sides) }));
}

interface Round {
  readonly bare: CallTime;
  readonly probed: ReadonlyMap<Side, Probed>;
}

interface Probed {
  readonly time: CallTime;
  readonly miscounted: number;
}

async function measureRound(
  target: BenchTarget,
  sides: readonly Side[],
  { workload, function: { symbol }, threads }: CallCase,
  milliseconds: number,
): Promise<Round> {
  const bare = await target.measure(symbol, milliseconds, threads);
  const probed = new Map<Side, Probed>();
  for (const side of sides) {
    if (!servesAll(side, workload.probes)) continue;
    using attachment = side.attach(workload.probes, target, symbol);
    const time = await target.measure(symbol, milliseconds, threads);
    probed.set(side, { time, miscounted: miscount(workload, attachment, time.calls) });
  }
  return { bare, probed };
}

function miscount({ leaves, probes }: Workload, attachment: Attachment, calls: number): number {
  const runs = calls * probes.length;
  const inHits = Math.abs(Number(attachment.hits() ?? runs) - runs);
  const inMap = leaves ? Math.abs(Number(attachment.sum(leaves.map)) - leaves.sum(calls)) : 0;
  return inHits + inMap;
}

function summarise(rounds: readonly Round[], sides: readonly Side[]): Pick<CallCost, 'bare' | 'sides'> {
  const bare = spread(rounds.map((round) => round.bare.min));
  const cost = (side: Side): SideCost => {
    const probed = rounds.map((round) => round.probed.get(side)!);
    const call = spread(probed.map(({ time }) => time.min));
    const added = spread(rounds.map((round, i) => probed[i]!.time.min - round.bare.min));
    return {
      call,
      added: { min: call.min - bare.min, median: added.median },
      miscounted: probed.reduce((sum, { miscounted }) => sum + miscounted, 0),
    };
  };
  const measured = sides.filter((side) => rounds[0]?.probed.has(side));
  return { bare, sides: Object.fromEntries(measured.map((side) => [side.name, cost(side)])) };
}
