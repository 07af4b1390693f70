/**
 * What a long comparison with the kernel found, in files: counts that grow part by part, and every pair of verdicts that
 * differs, with its program, so that it can be judged again without the seeds around it.
 */
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { deserialize, serialize } from 'node:v8';
import type { Comparison } from './verifier-comparison.ts';
import type { VerifierSubject } from './verifier-subject.ts';

/** Of a run over consecutive seeds. */
export interface FuzzRecord {
  readonly date: string;
  readonly linux: string;
  readonly seed: number;
  count: number;
  /** By outcome, in words. */
  readonly outcomes: Record<string, number>;
}

/** A pair of verdicts that differs. */
export interface Difference {
  readonly seed: number;
  readonly outcome: string;
  readonly ours: string;
  readonly kernel: string;
  /** The program as text, for whoever reads the file. */
  readonly listing: string;
  /** The program and its maps. */
  readonly subject: VerifierSubject;
}

/** Outcomes where both say the same; nobody needs to see these programs again. */
const AGREED: ReadonlySet<string> = new Set(['accepted', 'refused']);

const OUTCOMES: Readonly<Record<Extract<Comparison['outcome'], string>, string>> = {
  accepted: 'both accept',
  refused: 'both refuse',
  unsafe: 'we accept what the kernel refuses',
  strict: 'we refuse what the kernel accepts',
  bug: 'bug',
};

/** What a seed is counted as that has no program, or one whose maps the kernel does not make. */
export const NO_PROGRAM = 'no program';

/** True if the verdicts are not the same, whether something explains it or not. */
export function isDifference({ outcome }: Comparison): boolean {
  return typeof outcome !== 'string' || !AGREED.has(outcome);
}

/** An outcome in the words of the record. */
export function outcomeInWords({ outcome }: Pick<Comparison, 'outcome'>): string {
  return typeof outcome === 'string' ? OUTCOMES[outcome] : `policy: ${outcome.policy}`;
}

/** The running kernel's version, without what its distributor calls it. */
const LINUX = release().replace(/-.*/, '');

/** A record of nothing yet. */
export function newRecord(seed: number): FuzzRecord {
  return { date: new Date().toISOString().slice(0, 10), linux: LINUX, seed, count: 0, outcomes: {} };
}

/** Counts one outcome more, or so many. */
export function count(record: FuzzRecord, outcome: string, by = 1): void {
  const number = (record.outcomes[outcome] ?? 0) + by;
  if (number === 0) delete record.outcomes[outcome];
  else record.outcomes[outcome] = number;
}

/** The record of a file, if it is of this kernel and ends where `seed` begins; one of nothing if there is no file. */
export function continuedRecord(file: string, seed: number): FuzzRecord {
  if (!existsSync(file)) return newRecord(seed);
  const record = readRecord(file);
  if (record.linux !== LINUX) throw new Error(`cannot go on with ${file}: it is of Linux ${record.linux}`);
  const next = record.seed + record.count;
  if (next !== seed) throw new Error(`cannot go on with ${file}: it ends before seed ${next}, not ${seed}`);
  return record;
}

export function readRecord(file: string): FuzzRecord {
  return JSON.parse(readFileSync(file, 'utf8'));
}

export function writeRecord(file: string, record: FuzzRecord): void {
  const outcomes = Object.fromEntries(Object.entries(record.outcomes).sort(([a], [b]) => (a < b ? -1 : 1)));
  writeFileSync(file, `${JSON.stringify({ ...record, outcomes }, undefined, 2)}\n`);
}

/** The differences of a file, in which a line is one. */
export function readDifferences(file: string): Difference[] {
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => {
    const { subject, ...rest } = JSON.parse(line);
    return { ...rest, subject: deserialize(Buffer.from(subject, 'base64')) };
  });
}

export function appendDifferences(file: string, differences: readonly Difference[]): void {
  appendFileSync(file, differences.map(lineOf).join(''));
}

export function writeDifferences(file: string, differences: readonly Difference[]): void {
  writeFileSync(file, differences.map(lineOf).join(''));
}

function lineOf({ subject, ...rest }: Difference): string {
  return `${JSON.stringify({ ...rest, subject: serialize(subject).toString('base64') })}\n`;
}
