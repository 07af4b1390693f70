/** How the kernel's clocks go. Source: clock_getres(2). */
import { tryLibc } from './libc.ts';

const CLOCK_MONOTONIC_COARSE = 6;
/** CONFIG_HZ=250 */
const USUAL_NS = 4_000_000n;

/** Nanoseconds of a tick of this kernel: by so much its coarse clocks go on. */
export function tickNanoseconds(): bigint {
  const [seconds, nanoseconds] = [0n, USUAL_NS];
  const timespec = BigInt64Array.of(seconds, nanoseconds);
  return tryLibc('clock_getres', CLOCK_MONOTONIC_COARSE, timespec) === 0 ? timespec[1]! : USUAL_NS;
}
