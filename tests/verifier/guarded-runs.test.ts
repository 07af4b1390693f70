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
const PATIENCE_MS = 20_000;

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
  const escaped: string[] = [];
  for (let from = 1; from <= SEEDS; from += BATCH) {
    const batch = { from, count: Math.min(BATCH, SEEDS + 1 - from), rounds: ROUNDS };
    const parts = [await ask(batch)];
    if ('died' in parts[0]!) {
      parts.length = 0;
      for (let seed = from; seed < from + batch.count; seed++) {
        const outcome = await ask({ from: seed, count: 1, rounds: ROUNDS });
        parts.push(outcome);
        if (!('died' in outcome)) continue;
        if (outcome.died === 'slow') slow.push(seed);
        else escaped.push(`seed ${seed}: ${outcome.died}`);
      }
    }
    for (const part of parts) {
      if ('died' in part) continue;
      programs += part.programs;
      runs += part.runs;
    }
  }
  child?.kill('SIGKILL');
  t.diagnostic(`${programs} programs accepted, ${runs} runs, ${slow.length} programs take too long: ${slow.join(' ')}`);
  assert.deepEqual(escaped, []);
  assert.ok(programs > SEEDS / 4, `enough programs are accepted: ${programs}`);
});

let child: ReturnType<typeof fork> | undefined;

async function ask(
  batch: GuardedBatch | { readonly unproven: string },
): Promise<GuardedTally | { readonly died: string }> {
  child ??= fork(new URL('../support/guarded-runs-child.js', import.meta.url));
  const asked = child;
  const done = new AbortController();
  const { signal } = done;
  const timer = setTimeout(() => asked.kill('SIGKILL'), PATIENCE_MS);
  asked.send(batch);
  try {
    const answer = once(asked, 'message', { signal }).then(([tally]) => tally as GuardedTally);
    const end = once(asked, 'exit', { signal }).then(([code, by]) => ({
      died: by === 'SIGKILL' ? 'slow' : `${by ?? `exit ${code}`}`,
    }));
    const outcome = await Promise.race([answer, end]);
    if ('died' in outcome) child = undefined;
    return outcome;
  } finally {
    clearTimeout(timer);
    done.abort();
  }
}
