/** The JSON lines of `load`: a contract, every name and type of it. */
import type { BpfLink, BpfMap, JsonValue } from '../index.ts';
import type { Detached, LinkCounts, LoadReport } from './load-report.ts';
import type { Output } from './output.ts';

export class JsonReport implements LoadReport {
  readonly #output: Output;
  readonly #note: (line: string) => void;

  /** @param note gets what is no data */
  constructor(output: Output, note: (line: string) => void = () => {}) {
    this.#output = output;
    this.#note = note;
  }

  attached(pid: number, links: readonly BpfLink[], pauseUs: number): void {
    const data = {
      pid,
      links: links.map(
        ({ id, program, section, kind, target, address, addresses, unreached, method, problem, codeWithoutFile }) => ({
          id,
          program,
          section,
          kind,
          target,
          address: `0x${address.toString(16)}`,
          method,
          ...((kind.endsWith('.multi') || unreached !== undefined) && { sites: addresses.length }),
          ...(unreached !== undefined && { sites_unreached: unreached }),
          ...(codeWithoutFile > 0 && { code_without_file: codeWithoutFile }),
          ...(problem !== undefined && { error: problem.message }),
        }),
      ),
      pause_us: Math.round(pauseUs),
    };
    this.#line({ type: 'attached', data });
  }

  followed(link: BpfLink): void {
    this.attached(link.pid, [link], link.pauseUs);
  }

  printk(text: string): void {
    this.#line({ type: 'printk', data: text });
  }

  event(map: string, event: JsonValue): void {
    this.#line({ type: 'event', map, data: event });
  }

  map(map: BpfMap): void {
    this.#line({ type: 'map', name: map.name, map_type: map.typeName, entries: map.entries() });
  }

  stats(links: readonly LinkCounts[], lostEvents: bigint): void {
    const data = {
      links: links.map(({ id, hits, missed, codeWithoutFile }) => ({
        id,
        hits: integer(hits),
        missed: integer(missed),
        ...(codeWithoutFile > 0 && { code_without_file: codeWithoutFile }),
      })),
      lost_events: integer(lostEvents),
    };
    this.#line({ type: 'stats', data });
  }

  detached({ pid, links, outcome }: Detached): void {
    this.#line({ type: 'detached', data: { pid, links, restored: outcome === 'restored' } });
  }

  note(text: string): void {
    this.#note(text);
  }

  #line(line: object): void {
    this.#output.line(JSON.stringify(line));
  }
}

/** A JSON number, or a decimal string beyond 2^53-1. */
export function integer(value: bigint): number | string {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value.toString();
}
