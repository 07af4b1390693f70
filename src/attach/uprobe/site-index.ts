/**
 * Which patched site a byte of the target belongs to. Sites are found by the lines that they lie in: a map of bytes would have
 * some ten entries a site, and most of the time of attaching to thousands would go into it.
 */
import type { UprobeSite } from './site.ts';

/** Bytes of a line. User addresses fit a number. */
const LINE = 64;

/** From `start` up to, not including, `end`. */
interface Range {
  readonly start: number;
  readonly end: number;
}

interface Part extends Range {
  readonly site: UprobeSite;
}

export class SiteIndex {
  readonly #lines = new Map<number, readonly Part[]>();
  readonly #sites = new Set<UprobeSite>();

  get sites(): readonly UprobeSite[] {
    return [...this.#sites];
  }

  has(site: UprobeSite): boolean {
    return this.#sites.has(site);
  }

  /** The bytes of `site` are its own from now on. */
  add(site: UprobeSite): void {
    if (this.#sites.has(site)) return;
    this.#sites.add(site);
    for (const range of rangesOf(site)) {
      const part = { ...range, site };
      for (const line of linesOf(range)) this.#lines.set(line, [...(this.#lines.get(line) ?? []), part]);
    }
  }

  delete(site: UprobeSite): void {
    if (!this.#sites.delete(site)) return;
    for (const line of rangesOf(site).flatMap(linesOf)) {
      const left = this.#lines.get(line)?.filter((part) => part.site !== site) ?? [];
      if (left.length > 0) this.#lines.set(line, left);
      else this.#lines.delete(line);
    }
  }

  /** The site that has the byte at `address`. */
  at(address: bigint): UprobeSite | undefined {
    const start = Number(address);
    return this.#partsIn({ start, end: start + 1 })[0]?.site;
  }

  /** True if any of `size` bytes at `address` is a site's. */
  touches(address: bigint, size: number): boolean {
    const start = Number(address);
    return this.#partsIn({ start, end: start + size }).length > 0;
  }

  /** The sites that have bytes of `site`, itself included if it is known. */
  sharingBytesWith(site: UprobeSite): readonly UprobeSite[] {
    return [...new Set(rangesOf(site).flatMap((range) => this.#partsIn(range).map((part) => part.site)))];
  }

  #partsIn(range: Range): readonly Part[] {
    return linesOf(range).flatMap((line) => {
      const parts = this.#lines.get(line);
      return parts === undefined ? [] : parts.filter(({ start, end }) => start < range.end && range.start < end);
    });
  }
}

function rangesOf({ ranges }: UprobeSite): readonly Range[] {
  return ranges.map(({ at, size }) => ({ start: Number(at), end: Number(at) + size }));
}

function linesOf({ start, end }: Range): number[] {
  const [first, last] = [Math.floor(start / LINE), Math.floor((end - 1) / LINE)];
  return first === last ? [first] : Array.from({ length: last - first + 1 }, (_, n) => first + n);
}
