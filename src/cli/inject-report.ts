/** What `inject` tells: how many calls there were at each place and how many of them failed, as text or as JSON lines. */
import type { BpfLink } from '../index.ts';
import { integer } from './json-report.ts';
import type { LoadReport } from './load-report.ts';
import type { Output } from './output.ts';
import { printable, table } from './text.ts';

/** The faults of a session, as its report shows them. */
export interface ReportedFaults {
  /** The rule behind each link, in the order of the links. */
  readonly rules: readonly string[];
  /** What decides over faults by chance; undefined if there are none. */
  readonly seed: bigint | undefined;
  /** How many calls at link `index` have failed. */
  injected(index: number): bigint;
}

/** The report of a session without maps of the user's: only the end of it is its own. */
export function injectReport(inner: LoadReport, stats: LoadReport['stats']): LoadReport {
  return {
    attached: (pid, links, pauseUs) => inner.attached(pid, links, pauseUs),
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
export function jsonStats(output: Output, { rules, seed, injected }: ReportedFaults): LoadReport['stats'] {
  return (links, lostEvents) => {
    const data = {
      links: links.map(({ id, hits, missed }, n) => ({
        id,
        hits: integer(hits),
        missed: integer(missed),
        injected: integer(injected(n)),
        rule: rules[n],
      })),
      lost_events: integer(lostEvents),
      ...(seed !== undefined && { seed: integer(seed) }),
    };
    output.line(JSON.stringify({ type: 'stats', data }));
  };
}

/** The end as a table for people. Calls of a set that were never made are not listed. */
export function textStats(output: Output, { rules, seed, injected }: ReportedFaults): LoadReport['stats'] {
  return (links) => {
    const isAlone = (rule: string): boolean => rules.indexOf(rule) === rules.lastIndexOf(rule);
    const shown = [...links.entries()].filter(([n, { hits }]) => hits > 0n || isAlone(rules[n]!));
    const cells = shown.map(([n, link]) => [
      printable(callOf(link)),
      printable(rules[n]!),
      `${link.hits}`,
      `${injected(n)}`,
      `${link.missed}`,
    ]);
    const columns = (['call', 'fault', 'calls', 'injected', 'missed'] as const).map((title, n) => ({
      title,
      align: n < 2 ? ('left' as const) : ('right' as const),
    }));
    for (const line of table(columns, cells)) output.line(line);
    if (shown.length < links.length) output.line(`(${links.length - shown.length} more, never called)`);
    if (seed !== undefined) output.line(`by chance, the same with --seed ${seed}`);
  };
}

/** As the rule names it. */
function callOf({ target }: Pick<BpfLink, 'target'>): string {
  return target.replace(/^syscalls\/sys_enter_/, '');
}
