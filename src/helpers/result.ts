/** What a helper returns to the interpreter. */

/** A number, negative errnos among them, as r0 holds it. */
export function result(value: number): bigint {
  return BigInt.asUintN(64, BigInt(value));
}
