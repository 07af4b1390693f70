/** IR for runs of bytes whose size is known now: read as words, folded, copied. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';

/** Up to this many bytes are worth an instruction sequence of their own; more become a loop. */
const UNROLLED = 64;

/** Reads `size` bytes (1 to 8) at `address + offset`, and not one more, as a little-endian number. */
export function loadWord(b: Builder, address: Value, offset: number, size: number): Value {
  let word: Value | undefined;
  let at = 0;
  for (const width of [8, 4, 2, 1] as const) {
    if (size - at < width) continue;
    const part = b.load(width, address, offset + at);
    word = word === undefined ? part : b.or(word, b.shl(part, 8 * at));
    at += width;
  }
  return word ?? b.const(0);
}

/** One place in a run of bytes: `size` of them, `offset` bytes behind `at(base)` for each run walked in parallel. */
export interface WordPlace {
  at(base: Value): Value;
  readonly offset: number;
  readonly size: number;
}

/** Carries a value over the words of a run of `size` bytes; the last word may be shorter than 8. */
export function foldWords(
  b: Builder,
  size: number,
  initial: Value,
  step: (carry: Value, place: WordPlace) => Value,
): Value {
  const looped = size > UNROLLED ? size - (size % 8) : 0;
  let carry = initial;
  if (looped > 0) {
    [carry] = b.loop([initial, b.const(0)], 1, (loop, [value, index]) => {
      const folded = step(value!, { at: (base) => b.add(base, index!), offset: 0, size: 8 });
      const next = b.add(index!, 8);
      b.when(b.compare('eq', next, looped), () => loop.leave(folded));
      loop.next(folded, next);
    }) as [Value];
  }
  for (let offset = looped; offset < size; offset += 8) {
    carry = step(carry, { at: (base) => base, offset, size: Math.min(8, size - offset) });
  }
  return carry;
}

/** Copies `size` bytes; the regions do not overlap. */
export function copyBytes(
  b: Builder,
  to: Value,
  toOffset: number,
  from: Value,
  fromOffset: number,
  size: number,
): void {
  foldWords(b, size, b.const(0), (carry, { at, offset, size: width }) => {
    b.copy(at(to), toOffset + offset, at(from), fromOffset + offset, width);
    return carry;
  });
}

/** Writes zeros over `size` bytes. */
export function zeroBytes(b: Builder, to: Value, toOffset: number, size: number): void {
  foldWords(b, size, b.const(0), (carry, { at, offset, size: width }) => {
    let done = 0;
    for (const part of [8, 4, 2, 1] as const) {
      for (; width - done >= part; done += part) b.store(part, at(to), toOffset + offset + done, 0);
    }
    return carry;
  });
}
