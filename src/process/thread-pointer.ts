/** Whether fs:0 tells a process's threads apart, and what lies behind it. */
import { viewOf } from '../bytes/struct.ts';
import { isSysError } from '../sys/errors.ts';
import { readNamespacePid } from '../sys/proc.ts';
import type { ProcessMemory } from '../sys/process-memory.ts';
import type { AttachFacts } from './attach-facts.ts';

/** struct pthread's `tid` in glibc for x86-64: behind the 704 bytes of tcbhead_t and two list pointers. */
export const GLIBC_TID_OFFSET = 720;

/** How much of what its thread pointer leads to is read of a thread. */
const BLOCK_SIZE = GLIBC_TID_OFFSET + 4;

/** A thread as it was found: what emitted code may learn from it about all others. It may have ended since. */
export interface SampleThread {
  /** Its thread pointer. */
  readonly fsBase: bigint;
  /** Its id in its own pid namespace. */
  readonly tid: number;
  /** What its thread pointer leads to: fewer bytes, or none, where nothing is mapped. */
  readonly block: Uint8Array;
}

/** Looks at a thread that stands still: when it runs on it may end, and its memory may be gone. */
export function readSampleThread(
  memory: ProcessMemory,
  { pid, namespacePid }: AttachFacts,
  heldTid: number,
  fsBase: bigint,
): SampleThread {
  const tid = namespacePid === pid ? heldTid : (readNamespacePid(heldTid) ?? heldTid);
  return { fsBase, tid, block: readBlock(memory, fsBase) };
}

function readBlock(memory: ProcessMemory, fsBase: bigint): Uint8Array {
  try {
    return memory.readUpTo(fsBase, BLOCK_SIZE);
  } catch (error) {
    if (isSysError(error, 'SYS_EIO')) return new Uint8Array(0);
    throw error;
  }
}

/**
 * True if fs:0 holds the thread pointer itself, as the ELF TLS ABI has it, in every thread: a C library vouches for that, where
 * there is one.
 */
export function keepsThreadPointer({ libc }: AttachFacts, { fsBase, block }: SampleThread): boolean {
  if (fsBase === 0n || libc === 'none' || libc === undefined) return false;
  return block.length >= 8 && viewOf(block).getBigUint64(0, true) === fsBase;
}

/** True if the thread's id is where glibc keeps it. */
export function keepsThreadId({ libc }: AttachFacts, { tid, block }: SampleThread): boolean {
  return libc === 'glibc' && block.length >= BLOCK_SIZE && viewOf(block).getUint32(GLIBC_TID_OFFSET, true) === tid;
}
