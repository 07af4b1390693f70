/** Whether fs:0 tells a process's threads apart, and what lies behind it. */
import { viewOf } from '../bytes/struct.ts';
import type { TargetProcess } from './target-process.ts';

/** struct pthread's `tid` in glibc for x86-64: behind the 704 bytes of tcbhead_t and two list pointers. */
export const GLIBC_TID_OFFSET = 720;

/**
 * True if fs:0 holds the thread pointer itself, as the ELF TLS ABI has it, in every thread: a C library vouches for that, where
 * there is one.
 *
 * @param fsBase the thread pointer of any thread
 */
export function keepsThreadPointer({ memory, facts }: TargetProcess, fsBase: bigint): boolean {
  if (fsBase === 0n || facts.libc === 'none' || facts.libc === undefined) return false;
  const word = memory.readUpTo(fsBase, 8);
  return word.length === 8 && viewOf(word).getBigUint64(0, true) === fsBase;
}
