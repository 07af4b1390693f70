/**
 * What the verifier believes, against what happens: accepted programs run in the interpreter on random contexts, and at
 * every instruction each register that still matters holds what some state says that was looked at there. More programs
 * with REMORA_VERIFIER_SOUNDNESS=COUNT, a million runs with REMORA_LONG=1.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { believedStates, watchRuns } from '../support/believed-states.ts';
import { repetitions } from '../support/long-form.ts';
import { randomSubject } from '../support/verifier-programs.ts';

const RUNS = repetitions(3, 20);
const COUNT = Number(process.env.REMORA_VERIFIER_SOUNDNESS ?? repetitions(500, 80_000));

it(`holds of ${COUNT} random programs, at every instruction of ${RUNS} runs each`, (t) => {
  let accepted = 0;
  let steps = 0;
  for (let seed = 1; seed <= COUNT; seed++) {
    const subject = randomSubject(seed, { plain: true });
    const visited = believedStates(subject);
    if (visited === undefined) continue;
    accepted++;
    steps += watchRuns(seed, subject, visited, RUNS);
  }
  t.diagnostic(`${accepted} programs accepted, ${steps} steps watched`);
  assert.ok(accepted > COUNT / 3, `enough programs are accepted: ${accepted}`);
});
