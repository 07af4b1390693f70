/**
 * Our verifier against the kernel's, on generated programs:
 *
 *     npm run fuzz:verifier -- --count N --seed S [--objects DIR] [--show K] [--json FILE]
 *
 * Each disagreement is made as small as possible and printed. `--objects` takes programs to mutate from an outside set
 * as `verify:selftests` does. Exits with 1 if anything is left that no difference in policy explains.
 */
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { disassemble } from '../../src/insn/disassemble.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { type Comparison, kindOf, reduce, SubjectSource, tryCompare } from '../support/verifier-comparison.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    objects: { type: 'string' },
    show: { type: 'string', default: '10' },
    json: { type: 'string' },
  },
});
const why = whyNoOracle();
if (why !== undefined) {
  process.stderr.write(`cannot compare with the kernel: it takes no programs from us: ${why}\n`);
  process.exit(1);
}

const count = Number(values.count);
const first = Number(values.seed);
const tally = new Map<string, number>();
const found: Comparison[] = [];
using oracle = new KernelOracle();
const source = new SubjectSource(values.objects ?? process.env.VERIFIER_SELFTESTS);
const started = performance.now();
for (let seed = first; seed < first + count; seed++) {
  const subject = source.make(seed);
  const comparison = subject && tryCompare(seed, subject, oracle);
  if (comparison === undefined) {
    add('no program');
    continue;
  }
  const { outcome } = comparison;
  add(typeof outcome === 'string' ? outcome : `policy: ${outcome.policy}`);
  if (outcome === 'unsafe' || outcome === 'strict' || outcome === 'bug') found.push(comparison);
  if ((seed - first) % 50_000 === 49_999) process.stderr.write(`${seed - first + 1}: ${summary()}\n`);
}
show();
const seconds = (performance.now() - started) / 1000;
process.stdout.write(`${count} programs from seed ${first} in ${seconds.toFixed(0)} s: ${summary()}\n`);
if (values.json !== undefined)
  writeFileSync(values.json, `${JSON.stringify({ count, seed: first, ...Object.fromEntries(tally) })}\n`);
process.exitCode = found.length === 0 ? 0 : 1;

function add(key: string): void {
  tally.set(key, (tally.get(key) ?? 0) + 1);
}

function summary(): string {
  return [...tally]
    .sort()
    .map(([key, number]) => `${key} ${number}`)
    .join(', ');
}

/** The disagreements by reason, an example of each, the most frequent first. */
function show(): void {
  const groups = new Map<string, Comparison[]>();
  for (const comparison of found) {
    const key = kindOf(comparison);
    groups.set(key, [...(groups.get(key) ?? []), comparison]);
  }
  const shown = [...groups].sort(([a, x], [b, y]) => rank(b) - rank(a) || y.length - x.length);
  for (const [key, group] of shown.slice(0, Number(values.show))) {
    const shortest = group.reduce((a, b) => (b.subject.program.insns.length < a.subject.program.insns.length ? b : a));
    const { seed, subject, ours, kernel } = reduce(shortest, oracle);
    process.stdout.write(`${group.length} x ${key}\n  seed ${seed}, ${subject.type}:\n${listing(subject.program)}`);
    process.stdout.write(`  ours: ${ours.accepted ? 'accepted' : `${ours.message} at ${ours.slot}`}\n`);
    process.stdout.write(`  kernel: ${kernel.accepted ? 'accepted' : kernel.message.replaceAll('\n', ' | ')}\n\n`);
  }
  for (const [key, group] of shown.slice(Number(values.show))) process.stdout.write(`${group.length} x ${key}\n`);
}

function rank(key: string): number {
  return key.startsWith('bug') ? 2 : key.startsWith('unsafe') ? 1 : 0;
}

function listing({ insns, references }: LinkedProgram): string {
  return insns
    .map((insn, index) => {
      const reference = references.get(index);
      const what = reference === undefined ? '' : `  ${'map' in reference ? reference.map : 'function'}`;
      return `  ${String(insn.slot).padStart(4)}: ${disassemble(insn)}${what}\n`;
    })
    .join('');
}
