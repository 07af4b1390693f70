/**
 * Our verifier against the kernel's, on generated programs:
 *
 *     npm run fuzz:verifier -- --count N --seed S [--objects DIR] [--show K] [--json FILE] [--differences FILE]
 *     npm run fuzz:verifier -- --again --differences FILE [--json FILE]
 *
 * Each disagreement is made as small as possible and printed. `--objects` takes programs to mutate from an outside set
 * as `verify:selftests` does. `--json` adds to the record of a run that ended where this one begins, `--differences`
 * keeps every pair of verdicts that differs; `--again` judges these again and corrects the record. Exits with 1 if
 * anything is left that no difference in policy explains.
 */
import { parseArgs } from 'node:util';
import { disassemble } from '../../src/insn/disassemble.ts';
import type { LinkedProgram } from '../../src/object/spec.ts';
import {
  appendDifferences,
  continuedRecord,
  count,
  type Difference,
  type FuzzRecord,
  isDifference,
  NO_PROGRAM,
  newRecord,
  outcomeInWords,
  readDifferences,
  readRecord,
  writeDifferences,
  writeRecord,
} from '../support/fuzz-record.ts';
import { KernelOracle, whyNoOracle } from '../support/kernel-oracle.ts';
import { type Comparison, compare, kindOf, reduce, SubjectSource, tryCompare } from '../support/verifier-comparison.ts';

const { values } = parseArgs({
  options: {
    count: { type: 'string', default: '20000' },
    seed: { type: 'string', default: '1' },
    objects: { type: 'string' },
    show: { type: 'string', default: '10' },
    json: { type: 'string' },
    differences: { type: 'string' },
    again: { type: 'boolean', default: false },
  },
});
const why = whyNoOracle();
if (why !== undefined) {
  process.stderr.write(`cannot compare with the kernel: it takes no programs from us: ${why}\n`);
  process.exit(1);
}

const unexplained: Comparison[] = [];
using oracle = new KernelOracle();
const started = performance.now();
const record = values.again ? judgeAgain() : judge(Number(values.seed), Number(values.count));
if (values.json !== undefined) writeRecord(values.json, record);
show();
const seconds = (performance.now() - started) / 1000;
process.stdout.write(
  `${record.count} programs from seed ${record.seed}, ${seconds.toFixed(0)} s: ${summary(record)}\n`,
);
process.exitCode = unexplained.length === 0 ? 0 : 1;

function judge(first: number, number: number): FuzzRecord {
  const into = values.json === undefined ? newRecord(first) : continuedRecord(values.json, first);
  const source = new SubjectSource(values.objects ?? process.env.VERIFIER_SELFTESTS);
  const found: Difference[] = [];
  for (let seed = first; seed < first + number; seed++) {
    const subject = source.make(seed);
    const comparison = subject && tryCompare(seed, subject, oracle);
    count(into, comparison === undefined ? NO_PROGRAM : outcomeInWords(comparison));
    into.count++;
    if (comparison !== undefined && isDifference(comparison)) found.push(differenceOf(comparison));
    if (into.count % 50_000 === 0) process.stderr.write(`${into.count}: ${summary(into)}\n`);
  }
  if (values.differences !== undefined) appendDifferences(values.differences, found);
  return into;
}

function judgeAgain(): FuzzRecord {
  if (values.differences === undefined) throw new Error('--again needs --differences');
  const before = readDifferences(values.differences);
  const into = values.json === undefined ? newRecord(before[0]?.seed ?? 0) : readRecord(values.json);
  const after = before.map(({ seed, subject, outcome }) => {
    const comparison = compare(seed, subject, oracle);
    if (values.json !== undefined) count(into, outcome, -1);
    else into.count++;
    count(into, outcomeInWords(comparison));
    return differenceOf(comparison);
  });
  writeDifferences(values.differences, after);
  return into;
}

function differenceOf(comparison: Comparison): Difference {
  const { seed, subject, ours, kernel, outcome } = comparison;
  if (outcome === 'unsafe' || outcome === 'strict' || outcome === 'bug') unexplained.push(comparison);
  return {
    seed,
    outcome: outcomeInWords(comparison),
    ours: ours.message,
    kernel: kernel.message,
    listing: listing(subject.program),
    subject,
  };
}

function summary({ outcomes }: FuzzRecord): string {
  return Object.entries(outcomes)
    .sort()
    .map(([outcome, number]) => `${outcome} ${number}`)
    .join(', ');
}

/** The disagreements by reason, an example of each, the most frequent first. */
function show(): void {
  const groups = new Map<string, Comparison[]>();
  for (const comparison of unexplained) {
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
