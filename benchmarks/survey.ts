/**
 * How many functions of real binaries can be hooked, and why the others cannot: `npm run survey [FILE...]`. Nothing is
 * attached; what is asked is what attaching asks. The result is JSON, as kept in benchmarks/results/survey.json.
 */
import { readFileSync, realpathSync } from 'node:fs';
import { findWindow } from '../src/arch/x64/window.ts';
import { readFunctionRanges } from '../src/elf/eh-frame.ts';
import { type ElfFile, readElf } from '../src/elf/elf-file.ts';
import { SymbolType } from '../src/elf/symbols.ts';
import { codeMapOf } from '../src/process/module-code.ts';

/** Binaries of a Debian system: C, C++, assembly, an interpreter, the C library. */
export const SURVEYED: readonly string[] = [
  '/lib/x86_64-linux-gnu/libc.so.6',
  '/lib/x86_64-linux-gnu/libcrypto.so.3',
  '/lib/x86_64-linux-gnu/libstdc++.so.6',
  '/usr/bin/bash',
  '/usr/bin/python3.11',
  '/usr/bin/gdb',
];

/** What was found in one file. */
export interface SurveyRow {
  readonly file: string;
  /** Functions by symbol or frame description, each address once. */
  readonly functions: number;
  readonly hooked: number;
  /** Of the hooked ones: by way of padding. */
  readonly short: number;
  readonly percent: number;
  /** Number of the others by reason, and a few of each. */
  readonly refused: Readonly<Record<string, number>>;
  readonly examples: readonly string[];
}

export function survey(file: string): SurveyRow {
  const elf = readElf(readFileSync(file));
  const code = codeMapOf(elf);
  const functions = functionsOf(elf);
  const refused: Record<string, number> = {};
  const examples: string[] = [];
  let short = 0;
  let hooked = 0;
  for (const [start, { end, name }] of functions) {
    const window = findWindow(code, start, { start, end });
    if ('reason' in window) {
      refused[window.reason] = (refused[window.reason] ?? 0) + 1;
      if (refused[window.reason]! <= 5) examples.push(`${name}: ${window.detail}`);
    } else {
      hooked++;
      if (window.islands !== undefined) short++;
    }
  }
  const percent = Math.floor((10_000 * hooked) / functions.size) / 100;
  return { file: realpathSync(file), functions: functions.size, hooked, short, percent, refused, examples };
}

function functionsOf(elf: ElfFile): ReadonlyMap<number, { readonly end: number; readonly name: string }> {
  const functions = new Map<number, { end: number; name: string }>();
  const stubs = elf.sections.filter(({ name }) => name.startsWith('.plt'));
  for (const { start, end } of readFunctionRanges(elf)) {
    if (stubs.some(({ address }) => address === start)) continue; // one description for all stubs of a section
    functions.set(Number(start), { end: Number(end), name: `0x${start.toString(16)}` });
  }
  for (const { type, section, value, size, name } of elf.symbols()) {
    if (section === 0 || (type !== SymbolType.FUNC && type !== SymbolType.GNU_IFUNC)) continue;
    functions.set(Number(value), { end: Number(value) + size, name });
  }
  return functions;
}

if (import.meta.filename === process.argv[1]) {
  const files = process.argv.slice(2);
  const rows = (files.length > 0 ? files : SURVEYED).map(survey);
  console.log(JSON.stringify(rows, null, 2));
}
