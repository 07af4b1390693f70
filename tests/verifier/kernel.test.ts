/**
 * Generated programs, our verdict beside the running kernel's: what it refuses we refuse, but for differences by name.
 * The same seeds every time; more with REMORA_VERIFIER_FUZZ=COUNT, or `npm run fuzz:verifier`, which also shows them.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { kindOf, SubjectSource, tryCompare } from '../support/verifier-comparison.ts';

const COUNT = Number(process.env.REMORA_VERIFIER_FUZZ ?? 20_000);
/** Of what the kernel accepts. */
const WANTED_SHARE = 0.99;

it(`agrees with the kernel on ${COUNT} generated programs`, (t) => {
  const why = whyNoOracle();
  if (why !== undefined) {
    t.diagnostic(`not compared: the kernel takes no programs from us: ${why}`);
    return;
  }
  using oracle = new KernelOracle();
  const source = new SubjectSource();
  const wrong: string[] = [];
  let accepted = 0;
  let strict = 0;
  let unasked = 0;
  for (let seed = 1; seed <= COUNT; seed++) {
    const subject = source.make(seed);
    if (subject === undefined) continue;
    const comparison = tryCompare(seed, subject, oracle);
    if (comparison === undefined) {
      unasked++;
      continue;
    }
    const { outcome } = comparison;
    if (outcome === 'accepted') accepted++;
    if (outcome === 'strict') strict++;
    if (outcome === 'unsafe' || outcome === 'bug') wrong.push(`seed ${seed}: ${kindOf(comparison)}`);
  }
  t.diagnostic(`both accept ${accepted}; we refuse ${strict} that the kernel accepts`);
  assert.deepEqual(wrong, []);
  assert.ok(unasked < COUNT / 20, `the kernel makes the maps of most programs, not of ${unasked}`);
  assert.ok(accepted > COUNT / 4, `enough programs are accepted: ${accepted}`);
  assert.ok(
    accepted / (accepted + strict) >= WANTED_SHARE,
    `${strict} of ${accepted + strict} are refused by us alone`,
  );
});
