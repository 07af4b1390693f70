/** Whose the bytes of a target's code are: what one attach implementation displaces, another must leave alone. */

export class Claims {
  readonly #holders = new Map<object, (address: bigint) => boolean>();

  /** @param holds says whether the byte at an address is displaced by `holder`, now or when the batch under way ends */
  join(holder: object, holds: (address: bigint) => boolean): void {
    this.#holders.set(holder, holds);
  }

  /** True if one of the bytes is held by another than `asker`. */
  isTaken(address: bigint, size: number, asker: object): boolean {
    for (const [holder, holds] of this.#holders) {
      if (holder === asker) continue;
      for (let n = 0n; n < size; n++) if (holds(address + n)) return true;
    }
    return false;
  }
}
