/** What `inject` tells: how many calls there were at each place and how many of them failed, as text or as JSON lines. */
import { integer } from './json-report.ts';
import type { LoadReport } from './load-report.ts';
import type { Output } from './output.ts';
import { printable, table } from './text.ts';

/** The faults of a session, as its report shows them. */
export interface ReportedFaults {
  /** The rule behind each of them. */
  readonly rules: readonly string[];
  /** The program of each. */
  readonly programs: readonly string[];
  /** What decides over faults by chance; undefined if there are none. */
  readonly seed: bigint | undefined;
  /** How many calls fault `index` has had fail. */
  injected(index: number): bigint;
}

/** The report of a session without maps of the user's: only the end of it is its own. */
export function injectReport(inner: LoadReport, stats: LoadReport['stats']): LoadReport {
  return {
    attached: (pid, links, pauseUs, whose) => inner.attached(pid, links, pauseUs, whose),
    followed: (link) => inner.followed(link),
    printk() {},
    event() {},
    map() {},
    stats,
    detached: (detached) => inner.detached(detached),
    note: (text) => inner.note(text),
  };
}

/** The end as a line for programs. */
export function jsonStats(output: Output, faults: ReportedFaults): LoadReport['stats'] {
  return (links, lostEvents) => {
    const data = {
      links: rowsOf(faults, links).map(({ id, hits, missed, injected, rule }) => ({
        id,
        hits: integer(hits),
        missed: integer(missed),
        injected: integer(injected),
        rule,
      })),
      lost_events: integer(lostEvents),
      ...(faults.seed !== undefined && { seed: integer(faults.seed) }),
    };
    output.line(JSON.stringify({ type: 'stats', data }));
  };
}

/** The end as a table for people. Calls of a set that were never made are not listed. */
export function textStats(output: Output, faults: ReportedFaults): LoadReport['stats'] {
  return (links) => {
    const { rules, seed } = faults;
    const rows = rowsOf(faults, links);
    const isAlone = (rule: string): boolean => rules.indexOf(rule) === rules.lastIndexOf(rule);
    const shown = rows.filter(({ hits, rule }) => hits > 0n || isAlone(rule));
    const cells = shown.map(({ call, rule, hits, injected, missed }) => [
      printable(call),
      printable(rule),
      `${hits}`,
      `${injected}`,
      `${missed}`,
    ]);
    const columns = (['call', 'fault', 'calls', 'injected', 'missed'] as const).map((title, n) => ({
      title,
      align: n < 2 ? ('left' as const) : ('right' as const),
    }));
    for (const line of table(columns, cells)) output.line(line);
    if (shown.length < rows.length) output.line(`(${rows.length - shown.length} more, never called)`);
    if (seed !== undefined) output.line(`by chance, the same with --seed ${seed}`);
  };
}

interface FaultRow {
  /** Of the first of its links. */
  readonly id: number;
  /** As the rule names it. */
  readonly call: string;
  readonly rule: string;
  readonly hits: bigint;
  readonly missed: bigint;
  readonly injected: bigint;
}

/** A row for each fault that is attached anywhere, of all processes together. */
function rowsOf(
  { rules, programs, injected }: ReportedFaults,
  links: Parameters<LoadReport['stats']>[0],
): readonly FaultRow[] {
  return programs.flatMap((program, n) => {
    const own = links.filter((link) => link.program === program);
    if (own.length === 0) return [];
    const { id, target } = own[0]!;
    const sum = (count: 'hits' | 'missed'): bigint => own.reduce((total, link) => total + link[count], 0n);
    const call = target.replace(/^syscalls\/sys_enter_/, '');
    return [{ id, call, rule: rules[n]!, hits: sum('hits'), missed: sum('missed'), injected: injected(n) }];
  });
}
