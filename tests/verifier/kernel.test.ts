/**
 * Generated programs, our verdict beside the running kernel's: what it refuses we refuse, but for differences by name.
 * The same seeds every time; more with REMORA_VERIFIER_FUZZ=COUNT, or `npm run fuzz:verifier`, which also shows them.
 */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { parseCases } from '../support/verifier-cases.ts';
import { compare, kindOf, SubjectSource, tryCompare } from '../support/verifier-comparison.ts';
import { FORGOTTEN_RANGE } from './policy-differences.ts';

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

it('names what the kernel forgets, and nothing else', (t) => {
  const why = whyNoOracle();
  if (why !== undefined) {
    t.diagnostic(`not compared: the kernel takes no programs from us: ${why}`);
    return;
  }
  using oracle = new KernelOracle();
  const outcomes = FORGETFUL.map(([name, text]) => {
    const { subject } = parseCases(`== ${name}\n${text}\npost:\n`)[0]!;
    const { outcome } = compare(1, subject, oracle);
    return [name, typeof outcome === 'string' ? outcome : outcome.policy];
  });
  const { name } = FORGOTTEN_RANGE;
  assert.deepEqual(outcomes, [
    ['two bounds', name],
    ['low bits', name],
    ['bounds of another number', 'refused'],
    ['an address that is no number', 'unsafe'],
  ]);
});

/** Of the last one we say otherwise than the kernel, but not about a range. */
const FORGETFUL = [
  [
    'two bounds',
    'pre: r6 = value array, r7 = any\n jsgt r7, 7, out\n jgt r7, 100, out\n add r6, r7\n ldxb r0, [r6]\n out: mov r0, 0\n exit',
  ],
  [
    'low bits',
    'pre: r6 = value array, r7 = any\n lsh r7, 3\n movsx3264 r8, r7\n jgt r8, 2, out\n sub r6, r8\n ldxb r0, [r6]\n out: mov r0, 0\n exit',
  ],
  [
    'bounds of another number',
    'pre: r6 = value array, r7 = any, r8 = any\n jgt r8, 7, out\n add r6, r7\n ldxb r0, [r6]\n out: mov r0, 0\n exit',
  ],
  [
    'an address that is no number',
    'pre: r6 = value-or-null array\n mov r7, 0\n jeq r6, r7, out\n ldxb r0, [r6]\n out: mov r0, 0\n exit',
  ],
] as const;
