/** Numbers of the system calls we have a target make. Source: arch/x86/entry/syscalls/syscall_64.tbl. */
export const SystemCall = {
  close: 3,
  mmap: 9,
  mprotect: 10,
  munmap: 11,
  mremap: 25,
  madvise: 28,
  getpid: 39,
  memfd_create: 319,
} as const;

export type SystemCallName = keyof typeof SystemCall;
