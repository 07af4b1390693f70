/** Waking who waits for a word of shared memory, in whatever process: see also `waitOnWord`. Source: futex(2). */
import { tryLibc } from './libc.ts';

const SYS_FUTEX = 202;
const FUTEX_WAKE = 1;
const ALL = 0x7fff_ffff;

/** Wakes everybody who waits for the u32 at `address` of this process. */
export function wakeWord(address: number): void {
  tryLibc('syscall', SYS_FUTEX, address, FUTEX_WAKE, ALL, 0);
}
