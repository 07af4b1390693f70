/** What `load` tells people: data on the output, notes about the session on stderr. */
import type { BpfLink, BpfMap, JsonValue, MapEntry } from '../index.ts';
import type { Detached, LinkCounts, LoadReport, Outcome } from './load-report.ts';
import type { Output } from './output.ts';
import { type Column, count, type Palette, printable, table } from './text.ts';

export interface TextReportOptions {
  readonly output: Output;
  readonly palette: Palette;
  /** Gets a line about the session. */
  readonly note: (line: string) => void;
  /** What comes of the session; 'Ctrl-C ends' if not given. */
  readonly outlook?: string;
  /** More columns, and the entries of arrays that are all zero. */
  readonly detail: 'usual' | 'full';
}

const OUTCOMES: Readonly<Record<Outcome, string>> = {
  restored: 'its code is what it was',
  ended: 'it has ended',
  replaced: 'it runs another program now',
  'changed by others': 'others have changed its code, which was left as it is',
};

export class TextReport implements LoadReport {
  readonly #options: TextReportOptions;

  constructor(options: TextReportOptions) {
    this.#options = options;
  }

  attached(pid: number, links: readonly BpfLink[], pauseUs: number, whose: 'target' | 'child' = 'target'): void {
    const { note, outlook = 'Ctrl-C ends', detail } = this.#options;
    const what = `attached ${count(links.length, 'program')} to ${whose === 'child' ? 'child ' : ''}${pid}`;
    note(`${what}, which paused for ${duration(pauseUs)}${whose === 'child' ? '' : `; ${outlook}`}`);
    const rows = links.map(({ program, target, method, kind, address, addresses }) =>
      detail === 'usual'
        ? [printable(program), printable(target), methodAt(method, addresses)]
        : [printable(program), printable(target), methodAt(method, addresses), kind, `0x${address.toString(16)}`],
    );
    const titles = ['program', 'target', 'method', 'kind', 'address'].slice(0, detail === 'usual' ? 3 : 5);
    for (const line of table(titles.map(leftColumn), rows)) note(`  ${line}`);
  }

  followed({ program, target, method, problem }: BpfLink): void {
    const outcome = problem === undefined ? `attached: ${method}` : problem.message;
    this.#options.note(printable(`${target} was loaded, ${program}: ${outcome}`));
  }

  printk(text: string): void {
    this.#options.output.line(printable(text.replace(/\n$/, '')));
  }

  event(map: string, event: JsonValue): void {
    const cells = cellsOf('', event).map(([name, text]) => (name === '' ? text : `${name}=${text}`));
    this.#options.output.line(`${printable(map)}: ${cells.join(' ')}`);
  }

  map(map: BpfMap): void {
    const { output, palette } = this.#options;
    const lines = map.isDataSection ? variableLines(map) : this.#entryLines(map);
    output.line('');
    output.line(palette.bold(printable(`${map.name} (${map.typeName})`)));
    for (const line of lines) output.line(`  ${line}`);
  }

  stats(links: readonly LinkCounts[], lostEvents: bigint): void {
    const { output } = this.#options;
    const columns = [leftColumn('program'), leftColumn('target'), rightColumn('hits'), rightColumn('missed')];
    const rows = together(links).map(({ program, target, hits, missed }) => [
      printable(program),
      printable(target),
      `${hits}`,
      `${missed}`,
    ]);
    output.line('');
    for (const line of table(columns, rows)) output.line(line);
    for (const { program, target, codeWithoutFile } of links) {
      if (codeWithoutFile === 0) continue;
      output.line(
        printable(
          `${program} at ${target}: ${count(codeWithoutFile, 'region')} of code without a file not looked into`,
        ),
      );
    }
    output.line(`lost events: ${lostEvents}`);
  }

  note(text: string): void {
    this.#options.note(`note: ${printable(text)}`);
  }

  detached({ pid, links, outcome }: Detached): void {
    this.#options.note(`detached ${count(links, 'program')} from ${pid}: ${OUTCOMES[outcome]}`);
  }

  #entryLines(map: BpfMap): string[] {
    const all = map.entries();
    if (map.typeName === 'stack_trace' && all.length > 0) return all.flatMap(traceLines);
    const isArray = map.typeName.endsWith('array');
    const shown =
      isArray && this.#options.detail === 'usual'
        ? all.filter(({ value, values }) => !isZero(values === undefined ? value : [...values]))
        : all;
    const lines = shown.length === 0 ? [] : entryTable(isArray ? shown : [...shown].sort(byKey));
    if (shown.length < all.length) lines.push(`(${restOf(all.length - shown.length, shown.length)})`);
    return lines.length === 0 ? ['(empty)'] : lines;
  }
}

/** A row for each program and target, however many processes it was attached in. */
function together(links: readonly LinkCounts[]): readonly Omit<LinkCounts, 'id' | 'codeWithoutFile'>[] {
  const rows = new Map<string, Omit<LinkCounts, 'id' | 'codeWithoutFile'>>();
  for (const { program, target, hits, missed } of links) {
    const key = `${program} ${target}`;
    const known = rows.get(key) ?? { program, target, hits: 0n, missed: 0n };
    rows.set(key, { ...known, hits: known.hits + hits, missed: known.missed + missed });
  }
  return [...rows.values()];
}

/** How the program is reached and, if it is not one, at how many places. */
function methodAt(method: string, { length }: readonly bigint[]): string {
  return length === 1 || method === 'pending' ? method : `${method} at ${length} sites`;
}

/** `name = value`, a line each. */
function variableLines(map: BpfMap): string[] {
  const cells = map.entries().flatMap(({ value }) => cellsOf('', value));
  return cells.map(([name, value]) => (name === '' ? value : `${name} = ${value}`));
}

/** Columns are the fields of keys and values; all entries of a map have the same. */
function entryTable(entries: readonly MapEntry[]): string[] {
  const rows = entries.map(({ key, value, values }) => [
    ...cellsOf('key', key),
    ...cellsOf('value', values === undefined || value !== null ? value : [...values]),
  ]);
  const columns = rows[0]!.map(([title], at) =>
    rows.every((row) => /^-?\d+(\.\d+)?$/.test(row[at]![1])) ? rightColumn(title) : leftColumn(title),
  );
  return table(
    columns,
    rows.map((row) => row.map(([, text]) => text)),
  );
}

/** The number of a trace, and behind it its frames, a line each. */
function traceLines({ key, value }: MapEntry): string[] {
  const number = `${key}:`;
  const frames = value as readonly string[];
  return frames.map((frame, depth) => `${(depth === 0 ? number : '').padEnd(number.length)} ${printable(frame)}`);
}

/** A struct's fields one by one, anything else as one cell; what lies deeper stays together as JSON. */
function cellsOf(name: string, value: JsonValue): (readonly [title: string, text: string])[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [[name, cellText(value)]];
  const prefix = name === '' ? '' : `${name}.`;
  return Object.entries(value).map(([field, inner]) => [printable(`${prefix}${field}`), cellText(inner)]);
}

function cellText(value: JsonValue): string {
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}

function isZero(value: JsonValue): boolean {
  if (typeof value === 'string') return /^(0x)?0*$/.test(value);
  if (typeof value !== 'object' || value === null) return !value;
  return Object.values(value).every(isZero);
}

/** Numbers by size, everything else by its text. */
function byKey({ key: a }: MapEntry, { key: b }: MapEntry): number {
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return JSON.stringify(a).localeCompare(JSON.stringify(b), 'en', { numeric: true });
}

function duration(us: number): string {
  return us < 1000 ? `${Math.round(us)} us` : `${(us / 1000).toFixed(1)} ms`;
}

const leftColumn = (title: string): Column => ({ title, align: 'left' });
const rightColumn = (title: string): Column => ({ title, align: 'right' });

/** Entries that are not shown. */
function restOf(hidden: number, shown: number): string {
  return shown > 0 ? `${hidden} more, all zero` : hidden === 1 ? '1 entry, zero' : `${hidden} entries, all zero`;
}
