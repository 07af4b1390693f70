/** Whose the bytes of a target's code are: what one attach implementation displaces, another must leave alone. */

export class Claims {
  readonly #holders = new Map<object, (address: bigint, size: number) => boolean>();

  /** @param holds says whether any byte of a range is displaced by `holder`, now or when the batch under way ends */
  join(holder: object, holds: (address: bigint, size: number) => boolean): void {
    this.#holders.set(holder, holds);
  }

  /** True if one of the bytes is held by another than `asker`. */
  isTaken(address: bigint, size: number, asker: object): boolean {
    return [...this.#holders].some(([holder, holds]) => holder !== asker && holds(address, size));
  }
}
