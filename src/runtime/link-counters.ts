/** Which of a session's counters is whose: a link has one as long as it lives, and what it showed in the end stays known. */
import { MAX_LINKS } from './layout.ts';

/** How often a program ran, and how often it should have and did not. */
export interface Counts {
  readonly hits: bigint;
  readonly missed: bigint;
}

/** A counter in use, and what it showed when its link began. */
export interface LinkCounter {
  readonly index: number;
  readonly before: Counts;
}

export class LinkCounters {
  readonly #read: (index: number) => Counts;
  /** By the number of the attachment. */
  readonly #inUse = new Map<number, LinkCounter>();
  /** Of counters that were in use: with those in use they are the first there are. */
  readonly #free: number[] = [];
  /** What the counters of attachments showed that are gone. */
  readonly #final = new Map<number, Counts>();

  /** @param read tells what the counter with an index shows */
  constructor(read: (index: number) => Counts) {
    this.#read = read;
  }

  /** Gives an attachment a counter. @throws RangeError if there is none left */
  take(id: number): number {
    const index = this.#free.pop() ?? this.#inUse.size;
    if (index >= MAX_LINKS) throw new RangeError(`a session holds at most ${MAX_LINKS} links`);
    this.#inUse.set(id, { index, before: this.#read(index) });
    return index;
  }

  /** That of a live attachment. */
  of(id: number): LinkCounter {
    return this.#inUse.get(id)!;
  }

  /** What an attachment counted so far, or in all. */
  counts(id: number): Counts {
    const counter = this.#inUse.get(id);
    if (counter === undefined) return this.#final.get(id) ?? { hits: 0n, missed: 0n };
    const now = this.#read(counter.index);
    return { hits: now.hits - counter.before.hits, missed: now.missed - counter.before.missed };
  }

  /** Takes back the counters of all but these: their links are gone, or never came to be. */
  keepOnly(live: ReadonlySet<number>): void {
    for (const [id, { index }] of this.#inUse) {
      if (live.has(id)) continue;
      this.#final.set(id, this.counts(id));
      this.#free.push(index);
      this.#inUse.delete(id);
    }
  }
}
