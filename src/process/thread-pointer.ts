/** Whether fs:0 tells a process's threads apart. */
import { viewOf } from '../bytes/struct.ts';
import type { TargetProcess } from './target-process.ts';

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
