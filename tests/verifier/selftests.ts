/**
 * Runs an outside set of compiled verifier tests with known verdicts against our verifier:
 *
 *     npm run verify:selftests -- DIR [OBJECT[:PROGRAM]] [-v] [--run]
 *
 * DIR has `expect.json` (rows of object, prog, expect and expect_msg) and `objects/`. With --run programs with a `retval` are run too. Accepting what is to be refused is
 * a question of safety, refusing what is to be accepted one of use: they are counted apart.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { disassemble } from '../../src/insn/disassemble.ts';
import { surveyObject } from '../../src/object/read-object.ts';
import type { LinkedProgram, ObjectSurvey } from '../../src/object/spec.ts';
import { isRight, type Returned, runReturning } from '../support/selftest-runs.ts';
import { type OurVerdict, ourVerdict } from '../support/verifier-subject.ts';

/** One row of expect.json, as far as it is used. */
interface Row {
  readonly object: string;
  readonly prog: string;
  readonly expect: 'success' | 'failure';
  readonly expect_msg: readonly string[];
  readonly kprobe_msg: string;
  readonly helpers: readonly string[];
  /** What it returns on a context of zeros. */
  readonly retval: string | null;
}

/** What takes longer than this is named. */
const SLOW_MS = 1000;

interface Outcome extends OurVerdict {
  readonly row: Row;
  readonly ms: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    verbose: { type: 'boolean', short: 'v', default: false },
    run: { type: 'boolean', default: false },
  },
});
const directory = positionals[0] ?? process.env.VERIFIER_SELFTESTS;
if (directory === undefined) {
  process.stderr.write('wanted: npm run verify:selftests -- DIR [OBJECT[:PROGRAM]] [-v]\n');
  process.exit(2);
}
const [object, prog] = positionals[1]?.split(':') ?? [];
const rows = (JSON.parse(readFileSync(join(directory, 'expect.json'), 'utf8')) as Row[]).filter(
  (row) => (object === undefined || row.object.startsWith(object)) && (prog === undefined || row.prog === prog),
);
const surveys = new Map<string, ObjectSurvey>();
const started = performance.now();
const outcomes = rows.map((row) => judge(surveyOf(row.object), row));
const seconds = (performance.now() - started) / 1000;
if (values.verbose) for (const outcome of outcomes) explain(outcome);
report();
if (values.run) await reportRuns();

function surveyOf(name: string): ObjectSurvey {
  const known = surveys.get(name);
  if (known !== undefined) return known;
  const survey = surveyObject(readFileSync(join(directory!, 'objects', name)));
  surveys.set(name, survey);
  return survey;
}

function judge({ programs, unlinked, maps, btf }: ObjectSurvey, row: Row): Outcome {
  const begun = performance.now();
  const refused = (message: string): Outcome => ({
    row,
    accepted: false,
    message,
    slot: undefined,
    processed: 0,
    ms: 0,
  });
  const program = programs.find(({ name }) => name === row.prog);
  const error = unlinked.find(({ name }) => name === row.prog)?.error;
  if (program === undefined) {
    const cause = error?.cause instanceof Error ? `: ${error.cause.message}` : '';
    return refused(`not linked: ${error?.message ?? 'no such program'}${cause}`);
  }
  try {
    const verdict = ourVerdict({ program, maps, btf, type: 'uprobe' });
    return { row, ...verdict, ms: performance.now() - begun };
  } catch (thrown) {
    return refused(`BUG: ${thrown instanceof Error ? thrown.stack?.split('\n').slice(0, 3).join(' ') : thrown}`);
  }
}

function report(): void {
  const wrong = outcomes.filter(({ row, accepted }) => accepted !== (row.expect === 'success'));
  const accepted = wrong.filter((outcome) => outcome.accepted);
  const refused = wrong.filter((outcome) => !outcome.accepted);
  section('wrongly accepted', accepted, ({ row }) => row.expect_msg.join(' | ') || lastLine(row.kprobe_msg));
  section('wrongly refused', refused, ({ message }) => message);
  for (const { row, ms, processed } of outcomes.filter((outcome) => outcome.ms > SLOW_MS).sort((a, b) => b.ms - a.ms)) {
    process.stdout.write(`slow, ${(ms / 1000).toFixed(1)} s, ${processed} instructions: ${row.object}:${row.prog}\n`);
  }
  const of = (expect: Row['expect']): number => rows.filter((row) => row.expect === expect).length;
  process.stdout.write(
    `${rows.length} programs in ${seconds.toFixed(1)} s: ` +
      `wrongly accepted ${accepted.length} of ${of('failure')}, wrongly refused ${refused.length} of ${of('success')}, ` +
      `other words for ${outcomes.filter(saysOther).length} refusals\n`,
  );
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

async function reportRuns(): Promise<void> {
  const runs = await runReturning(
    rows.flatMap(({ object: file, prog: name, retval }) => {
      const { programs, maps, btf } = surveyOf(file);
      const program = programs.find((one) => one.name === name);
      const wanted = numberOf(retval);
      if (wanted === undefined || program === undefined) return [];
      return [{ name: `${file}:${name}`, subject: { program, maps, btf, type: 'uprobe' }, retval: wanted }];
    }),
  );
  for (const how of ['natively', 'interpreted'] as const) {
    const right = runs.filter((run) => isRight(run[how], run.retval));
    const wrong = runs.filter((run) => typeof run[how] === 'bigint' && !isRight(run[how], run.retval));
    for (const run of wrong) {
      process.stdout.write(`${how} wrong: ${run.name}: ${run[how]}, wanted ${run.retval}${whyOther(run.name)}\n`);
    }
    listUnrun(how, runs);
    process.stdout.write(`${how}: ${right.length} of ${runs.length} right, ${wrong.length} wrong\n`);
    if (wrong.some(({ name }) => whyOther(name) === '')) process.exitCode = 1;
  }
}

/** What the kernel's own runner of these tests gives them, and we do not: part of an object's name, and what. */
const OTHER_INPUT = [
  ['verifier_direct_packet_access', 'a packet'],
  ['verifier_xdp', 'a packet'],
  ['verifier_array_access', 'values in maps'],
  ['verifier_value_ptr_arith', 'values in maps'],
] as const;

function whyOther(name: string): string {
  const row = OTHER_INPUT.find(([part]) => name.includes(part));
  return row === undefined ? '' : `, with ${row[1]}`;
}

/** Numbers, and the names that the kernel's tests have for some. undefined where any result is right. */
function numberOf(text: string | null): bigint | undefined {
  if (text === 'TEST_DATA_LEN') return 64n;
  const [, sign, digits] = /^(-?)(0x[0-9a-f]+|\d+)$/i.exec(text ?? '') ?? [];
  return digits === undefined ? undefined : sign === '-' ? -BigInt(digits) : BigInt(digits);
}

/** Those that were not run, by reason. */
function listUnrun(how: 'natively' | 'interpreted', runs: readonly Returned[]): void {
  const groups = new Map<string, string[]>();
  for (const run of runs) {
    const why = run[how];
    if (typeof why === 'string') groups.set(why, [...(groups.get(why) ?? []), run.name]);
  }
  for (const [why, names] of groups)
    process.stdout.write(`${how} not run, ${names.length}: ${why}: ${names.join(' ')}\n`);
}

/** Prints a group for each reason, numbers and names left out, the largest first. */
function section(title: string, wrong: readonly Outcome[], reasonOf: (outcome: Outcome) => string): void {
  const groups = new Map<string, Outcome[]>();
  for (const outcome of wrong) {
    const reason = reasonOf(outcome)
      .replace(/'[^']*'/g, "'...'")
      .replace(/-?\b(0x[0-9a-f]+|\d+)\b/g, 'N');
    groups.set(reason, [...(groups.get(reason) ?? []), outcome]);
  }
  for (const [reason, group] of [...groups].sort(([, a], [, b]) => b.length - a.length)) {
    process.stdout.write(`${title}, ${group.length}: ${reason}\n`);
    for (const { row, message, slot } of group) {
      const helpers = row.helpers.length > 0 ? ` (${row.helpers.join(', ')})` : '';
      const at = slot === undefined ? '' : ` at ${slot}`;
      process.stdout.write(`    ${row.object}:${row.prog}${helpers}${message && `: ${message}${at}`}\n`);
    }
  }
}

/** Refused as it should be, but not in the words that a search would find. */
function saysOther({ row, accepted, message }: Outcome): boolean {
  return row.expect === 'failure' && !accepted && !row.expect_msg.every((words) => message.includes(words));
}

/** One program: its instructions, what is expected and what we say. */
function explain(outcome: Outcome): void {
  const { row, accepted, message, slot, processed } = outcome;
  const program = surveyOf(row.object).programs.find(({ name }) => name === row.prog);
  process.stdout.write(`${row.object}:${row.prog}: to be ${row.expect === 'success' ? 'accepted' : 'refused'}\n`);
  if (program !== undefined) process.stdout.write(listing(program, slot));
  if (row.expect === 'failure')
    process.stdout.write(`kernel: ${row.kprobe_msg.trim()}\nwanted: ${row.expect_msg.join(' | ')}\n`);
  process.stdout.write(
    `ours: ${accepted ? 'accepted' : `${message} at ${slot}`}, ${processed} instructions processed\n\n`,
  );
}

function listing({ insns, references, subprograms }: LinkedProgram, refused: number | undefined): string {
  return insns
    .map((insn, index) => {
      const name = subprograms.find(({ start }) => start === index)?.name;
      const reference = references.get(index);
      const what = reference === undefined ? '' : `    ${JSON.stringify(reference)}`;
      const mark = insn.slot === refused ? '>' : ' ';
      return `${name === undefined ? '' : `${name}:\n`}${mark}${String(insn.slot).padStart(4)}: ${disassemble(insn)}${what}\n`;
    })
    .join('');
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? '';
}
