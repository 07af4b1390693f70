/**
 * Accepted programs run as machine code in memory with pages without access around stack, context and maps: none touches
 * them. A child that dies is asked again for its programs one by one. Ten million runs with REMORA_LONG=1.
 */
import assert from 'node:assert/strict';
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { it } from 'node:test';
import type { GuardedBatch, GuardedTally } from '../support/guarded-runs.ts';
import { repetitions } from '../support/long-form.ts';

const SEEDS = repetitions(150, 20_000);
const ROUNDS = repetitions(200, 1000);
const BATCH = 50;
/** Programs whose loops take that long are ended: they have a bound, but nobody waits for it. */
const PATIENCE_MS = repetitions(20_000, 300_000);
const SLOW = 'slow';

for (const [where, code] of [
  ['behind the context', 'ldxb r0, [r1]\nexit'],
  ['in front of the stack', 'mov r3, 256\nmov r2, r10\nadd r2, r3\nstxdw [r2], r3\nmov r0, 0\nexit'],
  ['behind the stack', 'mov r3, -70000\nmov r2, r10\nadd r2, r3\nldxdw r0, [r2]\nexit'],
] as const) {
  it(`notices a program that reaches ${where}`, async () => {
    assert.deepEqual(await ask({ unproven: code }), { died: 'SIGSEGV' });
  });
}

it(`${SEEDS} random programs, ${ROUNDS} runs of each that is accepted`, async (t) => {
  let programs = 0;
  let runs = 0;
  const slow: number[] = [];
  const wrong: string[] = [];
  const look = (what: string, outcome: Outcome): void => {
    if ('failed' in outcome) wrong.push(`${what}: ${outcome.failed}`);
    else if ('died' in outcome) wrong.push(`${what}: ${outcome.died}`);
    else {
      programs += outcome.programs;
      runs += outcome.runs;
    }
  };
  for (let from = 1; from <= SEEDS; from += BATCH) {
    const batch = { from, count: Math.min(BATCH, SEEDS + 1 - from), rounds: ROUNDS };
    const outcome = await ask(batch);
    if (!('died' in outcome)) {
      look(`seeds from ${from}`, outcome);
      continue;
    }
    const before = wrong.length;
    for (let seed = from; seed < from + batch.count; seed++) {
      const alone = await ask({ from: seed, count: 1, rounds: ROUNDS });
      if ('died' in alone && alone.died === SLOW) slow.push(seed);
      else look(`seed ${seed}`, alone);
    }
    // What kills a process only together with others is an escape all the same.
    if (outcome.died !== SLOW && wrong.length === before) look(`seeds from ${from}, together`, outcome);
  }
  child?.kill('SIGKILL');
  t.diagnostic(`${programs} programs accepted, ${runs} runs, ${slow.length} programs take too long: ${slow.join(' ')}`);
  assert.deepEqual(wrong, []);
  assert.ok(programs > SEEDS / 4, `enough programs are accepted: ${programs}`);
});

/** What a child answers, or how it ended. */
type Outcome = GuardedTally | { readonly failed: string } | { readonly died: string };

let child: ReturnType<typeof fork> | undefined;

async function ask(batch: GuardedBatch | { readonly unproven: string }): Promise<Outcome> {
  child ??= fork(new URL('../support/guarded-runs-child.js', import.meta.url));
  const asked = child;
  const done = new AbortController();
  const { signal } = done;
  const timer = setTimeout(() => asked.kill('SIGKILL'), PATIENCE_MS);
  asked.send(batch);
  try {
    const answer = once(asked, 'message', { signal }).then(([said]) => said as Outcome);
    const end = once(asked, 'exit', { signal }).then(([code, by]) => ({
      died: by === 'SIGKILL' ? SLOW : `${by ?? `exit ${code}`}`,
    }));
    const outcome = await Promise.race([answer, end]);
    if ('died' in outcome) child = undefined;
    return outcome;
  } finally {
    clearTimeout(timer);
    done.abort();
  }
}
