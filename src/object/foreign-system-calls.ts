/**
 * System calls that Linux has, but not on x86-64. Tools that run on several architectures trace some of them as well, and do not load
 * those programs where the kernel has no such tracepoint. Source: the syscall*.tbl of other architectures, Linux 6.18.
 */
const NAMES = new Set(
  `
    _llseek _newselect arm_fadvise64_64 arm_sync_file_range bdflush chown16 chown32 clock_adjtime64 clock_getres_time64
    clock_gettime64 clock_nanosleep_time64 clock_settime64 epoll_pwait_time32 fadvise64_64 fchown16 fchown32 fcntl64
    fstat64 fstatat64 fstatfs64 ftruncate64 futex_time32 futex_time64 getegid16 getegid32 geteuid16 geteuid32 getgid16
    getgid32 getgroups16 getgroups32 getresgid16 getresgid32 getresuid16 getresuid32 getuid16 getuid32
    io_pgetevents_time32 io_pgetevents_time64 ipc kern_features lchown16 lchown32 llseek lstat64 mmap2 mmap_pgoff
    mq_timedreceive_time64 mq_timedsend_time64 nanosleep_time32 nice old_getrlimit old_mmap old_msgctl old_readdir
    old_select old_semctl old_shmctl oldumount osf_getpriority osf_select osf_settimeofday osf_sigaction
    pciconfig_iobase pciconfig_read pciconfig_write ppoll_time32 ppoll_time64 pselect6_time32 pselect6_time64 recv
    recvmmsg_time32 recvmmsg_time64 riscv_flush_icache riscv_hwprobe rt_sigtimedwait_time32 rt_sigtimedwait_time64 rtas
    s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr s390_sthyi
    sched_rr_get_interval_time64 semtimedop_time64 send setfsgid16 setfsgid32 setfsuid16 setfsuid32 setgid16 setgid32
    setgroups16 setgroups32 setregid16 setregid32 setresgid16 setresgid32 setresuid16 setresuid32 setreuid16
    setreuid32 setuid16 setuid32 sgetmask sigaction signal sigpending sigprocmask sigreturn sigsuspend socketcall
    spu_create spu_run ssetmask stat64 statfs64 stime swapcontext switch_endian sync_file_range2 timer_gettime64
    timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64 vm86 vm86old waitpid
  `
    .trim()
    .split(/\s+/),
);

const PLACE = /^(?:(?:tracepoint|tp)\/syscalls\/sys_(?:enter|exit)_|k(?:ret)?syscall\/)(?<name>\w+)$/;

/** Whether a section names a system call that only other architectures have. */
export function isForeignSystemCall(section: string): boolean {
  const name = PLACE.exec(section)?.groups?.name;
  return name !== undefined && NAMES.has(name);
}
