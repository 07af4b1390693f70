/**
 * Random programs: the interpreter against native code, in child processes. The same seeds every time; more of them, or
 * others, with REMORA_DIFFERENTIAL=COUNT and REMORA_SEED=FIRST.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { it } from 'node:test';
import type { Difference, Seeds } from '../support/differential-child.ts';

const COUNT = Number(process.env.REMORA_DIFFERENTIAL ?? 100_000);
const FIRST = Number(process.env.REMORA_SEED ?? 1);
const BATCH = 1000;
/** In milliseconds, for a batch: a program that never ends is a difference too. */
const TIME_LIMIT = 60_000;

it(`gives ${COUNT} random programs the same result natively as in the interpreter`, async () => {
  const batches: Seeds[] = [];
  for (let at = 0; at < COUNT; at += BATCH) batches.push({ from: FIRST + at, count: Math.min(BATCH, COUNT - at) });
  const differences: Difference[] = [];
  await Promise.all(
    Array.from({ length: availableParallelism() }, async () => {
      using engine = new Engine();
      for (let seeds = batches.shift(); seeds !== undefined; seeds = batches.shift()) {
        differences.push(...(await engine.compare(seeds)));
      }
    }),
  );
  assert.deepEqual(differences.slice(0, 10), []);
});

/** A child that compares, and its successors. */
class Engine implements Disposable {
  #child: ReturnType<typeof fork> | undefined;

  async compare(seeds: Seeds): Promise<readonly Difference[]> {
    const outcome = await this.#run(seeds);
    if (Array.isArray(outcome)) return outcome;
    if (seeds.count === 1) return [{ seed: seeds.from, what: `the child ended: ${outcome}` }];
    const half = Math.ceil(seeds.count / 2);
    return [
      ...(await this.compare({ from: seeds.from, count: half })),
      ...(await this.compare({ from: seeds.from + half, count: seeds.count - half })),
    ];
  }

  [Symbol.dispose](): void {
    this.#child?.kill('SIGKILL');
  }

  async #run(seeds: Seeds): Promise<readonly Difference[] | string> {
    this.#child ??= fork(new URL('../support/differential-child.js', import.meta.url));
    const child = this.#child;
    const timer = setTimeout(() => child.kill('SIGKILL'), TIME_LIMIT);
    const abort = new AbortController();
    const { signal } = abort;
    child.send(seeds);
    try {
      const answer = once(child, 'message', { signal }).then(([differences]) => differences as Difference[]);
      const end = once(child, 'exit', { signal }).then(([code, by]) => `${by ?? `exit ${code}`}`);
      const outcome = await Promise.race([answer, end]);
      if (typeof outcome === 'string') this.#child = undefined;
      return outcome;
    } finally {
      clearTimeout(timer);
      abort.abort();
    }
  }
}
