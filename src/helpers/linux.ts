/** Linux numbers that emitted code uses, x86-64: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/linux. */

export const Syscall = {
  getpid: 39,
  kill: 62,
  getuid: 102,
  getgid: 104,
  getppid: 110,
  prctl: 157,
  gettid: 186,
  futex: 202,
  clock_gettime: 228,
  tgkill: 234,
  getcpu: 309,
  process_vm_readv: 310,
  process_vm_writev: 311,
} as const;
export const Clock = { MONOTONIC: 1, MONOTONIC_COARSE: 6, BOOTTIME: 7, TAI: 11 } as const;
export const FUTEX_WAIT = 0;
export const FUTEX_WAKE = 1;
export const PR_GET_NAME = 16;
/** Bytes of a thread's name with its NUL. */
export const TASK_COMM_LEN = 16;
