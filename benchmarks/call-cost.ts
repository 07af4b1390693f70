/** What a probe adds to one call. Bare, ours and the kernel's follow each other, because the machine drifts. */
import type { BenchTarget, CallTime } from './bench-target.ts';
import type { Attachment, Side } from './side.ts';
import { type Spread, spread } from './stats.ts';
import { FUNCTIONS, type ProbedFunction, WORKLOADS, type Workload } from './workloads.ts';

/** One program on one function, over all rounds. Times in ns. */
export interface CallCost {
  readonly workload: Workload;
  readonly function: ProbedFunction;
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

/** Measures every workload on every function on every side, in `rounds` rounds of `milliseconds` a measurement. */
export async function measureCalls(
  target: BenchTarget,
  sides: readonly Side[],
  rounds: number,
  milliseconds: number,
): Promise<CallCost[]> {
  const pairs = FUNCTIONS.flatMap((fn) => WORKLOADS.map((workload) => ({ function: fn, workload })));
  const series = pairs.map(() => [] as Round[]);
  for (let round = 0; round < rounds; round++) {
    for (const [i, pair] of pairs.entries()) {
      series[i]!.push(await measureRound(target, sides, pair.workload, pair.function, milliseconds));
    }
  }
  return pairs.map((pair, i) => ({ ...pair, ...summarise(series[i]!, sides) }));
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
  workload: Workload,
  fn: ProbedFunction,
  milliseconds: number,
): Promise<Round> {
  const bare = await target.measure(fn.symbol, milliseconds);
  const probed = new Map<Side, Probed>();
  for (const side of sides) {
    using attachment = side.attach(workload.program, target, fn.symbol);
    const time = await target.measure(fn.symbol, milliseconds);
    probed.set(side, { time, miscounted: miscount(workload, attachment, time.calls) });
  }
  return { bare, probed };
}

function miscount({ leaves }: Workload, attachment: Attachment, calls: number): number {
  const inHits = Math.abs(Number(attachment.hits() ?? calls) - calls);
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
  return { bare, sides: Object.fromEntries(sides.map((side) => [side.name, cost(side)])) };
}
