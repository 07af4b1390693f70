/** IR for runs of bytes whose size is known only when the program runs. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';

/** Copies `size` bytes; regions do not overlap. */
export function copyRun(b: Builder, to: Value, from: Value, size: Value): void {
  eachChunk(b, size, (width, at) => b.store(width, b.add(to, at), 0, b.load(width, b.add(from, at))));
}

/** Sets `size` bytes to 0. */
export function zeroRun(b: Builder, to: Value, size: Value): void {
  eachChunk(b, size, (width, at) => b.store(width, b.add(to, at), 0, 0));
}

function eachChunk(b: Builder, size: Value, body: (width: 1 | 8, at: Value) => void): void {
  let start = b.const(0);
  for (const [width, end] of [
    [8, b.and(size, -8)],
    [1, size],
  ] as const) {
    [start] = b.loop([start], 1, (loop, [at]) => {
      b.when(b.compare('eq', at!, end), () => loop.leave(at!));
      body(width, at!);
      loop.next(b.add(at!, width));
    }) as [Value];
  }
}
