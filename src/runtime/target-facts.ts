/** What emitted code may rely on in one target: found out once, when the session begins. */
import { readElf } from '../elf/elf-file.ts';
import { BpfError } from '../errors.ts';
import type { TargetProcess } from '../process/target-process.ts';
import { GLIBC_TID_OFFSET, keepsThreadId, keepsThreadPointer, type SampleThread } from '../process/thread-pointer.ts';

export interface ThreadFacts {
  /** True if fs:0 holds the thread pointer itself, as the ELF TLS ABI has it, so that it tells threads apart. */
  readonly threadPointers: boolean;
  /** Offset from fs of the thread's id, undefined if it is not where the C library keeps it. */
  readonly tidOffset: number | undefined;
}

/** Checks a thread against the ABI. */
export function readThreadFacts({ facts }: TargetProcess, thread: SampleThread): ThreadFacts {
  const threadPointers = keepsThreadPointer(facts, thread);
  return { threadPointers, tidOffset: threadPointers && keepsThreadId(facts, thread) ? GLIBC_TID_OFFSET : undefined };
}

/** The address of the vDSO's clock_gettime, undefined if the process has none that can be read. */
export function findClockGettime(process: TargetProcess): bigint | undefined {
  const vdso = process.mappings().find(({ path }) => path === '[vdso]');
  if (vdso === undefined) return undefined;
  try {
    const image = process.memory.readUpTo(vdso.start, Number(vdso.end - vdso.start));
    const symbol = readElf(image).findSymbol('__vdso_clock_gettime');
    return symbol === undefined ? undefined : vdso.start + symbol.value;
  } catch (error) {
    if (error instanceof BpfError) return undefined; // the helper asks the kernel then
    throw error;
  }
}
