/** Numbers of the system calls we have a target make. Source: arch/x86/entry/syscalls/syscall_64.tbl. */
export const SystemCall = {
  close: 3,
  mmap: 9,
  munmap: 11,
  madvise: 28,
  socket: 41,
  recvmsg: 47,
  gettid: 186,
  memfd_create: 319,
} as const;

export type SystemCallName = keyof typeof SystemCall;
