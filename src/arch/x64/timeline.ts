/** Who has a hardware register when: disjoint segments in ascending order, each with its tenant. */
import type { Segments } from './liveness.ts';

export class Timeline<T> {
  readonly #starts: number[] = [];
  readonly #ends: number[] = [];
  readonly #tenants: (T | undefined)[] = [];

  /** `fixed`: segments nobody can be driven out of. */
  constructor(fixed: Segments) {
    this.#insert(fixed, undefined);
  }

  /** True if nobody has it in any of these segments. */
  isFree(segments: Segments): boolean {
    for (let n = 0; n < segments.length; n += 2) {
      const at = this.#firstEndingAfter(segments[n]!);
      if (at < this.#starts.length && this.#starts[at]! < segments[n + 1]!) return false;
    }
    return true;
  }

  /** Who has it in these segments; undefined if one of them is fixed. */
  tenants(segments: Segments): T[] | undefined {
    const found = new Set<T>();
    for (let n = 0; n < segments.length; n += 2) {
      for (let at = this.#firstEndingAfter(segments[n]!); this.#starts[at]! < segments[n + 1]!; at++) {
        const tenant = this.#tenants[at];
        if (tenant === undefined) return undefined;
        found.add(tenant);
      }
    }
    return [...found];
  }

  /** The segments must be free. */
  add(segments: Segments, tenant: T): void {
    this.#insert(segments, tenant);
  }

  /** The segments must be exactly those added. */
  remove(segments: Segments): void {
    for (let n = 0; n < segments.length; n += 2) {
      const at = this.#firstEndingAfter(segments[n]!);
      this.#starts.splice(at, 1);
      this.#ends.splice(at, 1);
      this.#tenants.splice(at, 1);
    }
  }

  #insert(segments: Segments, tenant: T | undefined): void {
    for (let n = 0; n < segments.length; n += 2) {
      const at = this.#firstEndingAfter(segments[n]!);
      this.#starts.splice(at, 0, segments[n]!);
      this.#ends.splice(at, 0, segments[n + 1]!);
      this.#tenants.splice(at, 0, tenant);
    }
  }

  #firstEndingAfter(position: number): number {
    let [low, high] = [0, this.#ends.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#ends[middle]! <= position) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
