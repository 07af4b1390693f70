/**
 * Numbers of processes that share a session's memory: fork children have their parent's thread pointers, so that a pointer names a
 * thread only together with this. It is kept in memory that the kernel wipes on fork: a child finds 0 there and takes its own.
 */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';

const SHIFT = 48;
const MAX_PROCESSES = 0xffff;

/**
 * Emits the number of this process, taken from the counter if it has none yet: the upper 16 bits of a word, others 0.
 *
 * @param counter address of a u64: how many there are
 * @param cell address of a u64 that is private to the process and wiped on fork
 * @param otherwise writes what is done if there are no more; it must leave the function
 */
export function emitProcessNumber(b: Builder, counter: bigint, cell: bigint, otherwise: () => void): Value {
  const address = b.const(cell);
  const known = b.load(8, address);
  return b.choose(
    b.compare('eq', known, 0),
    () => {
      const number = b.add(b.atomic('add', 8, b.const(counter), 0, 1), 1);
      b.when(b.compare('ugt', number, MAX_PROCESSES), otherwise, 'cold');
      const wanted = b.shl(number, SHIFT);
      const old = b.cmpxchg(8, address, 0, 0, wanted);
      return b.select(b.compare('eq', old, 0), wanted, old);
    },
    () => known,
    'cold',
  );
}
