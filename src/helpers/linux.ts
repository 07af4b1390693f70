/** Linux numbers that emitted helpers use, x86-64: arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/linux. */

export const Syscall = { getpid: 39, prctl: 157, gettid: 186, clock_gettime: 228, process_vm_readv: 310 } as const;
export const CLOCK_MONOTONIC = 1;
export const PR_GET_NAME = 16;
/** Bytes of a thread's name with its NUL. */
export const TASK_COMM_LEN = 16;
