/**
 * Sets of system calls, as strace writes them: `open,openat`, `%file`, `/^get.*id`, `!read`, `?statx`, `all`. Source of the classes:
 * strace(1); those of strace's old names without the percent sign are none.
 */
import { suggest } from '../../process/suggest.ts';
import { AttachError } from '../errors.ts';
import { SYSCALL_NUMBERS, syscallNumber } from './names.ts';

const STAT = 'stat';
const LSTAT = 'lstat';
const FSTAT = 'fstat newfstatat';
const STATFS = 'statfs';
const FSTATFS = 'fstatfs';

/** Names by class. */
const CLASSES: Readonly<Record<string, string>> = {
  file: `
    open stat lstat access execve truncate getcwd chdir rename mkdir rmdir creat link unlink symlink readlink chmod chown
    lchown utime mknod uselib statfs pivot_root chroot acct mount umount2 swapon swapoff quotactl setxattr lsetxattr
    getxattr lgetxattr listxattr llistxattr removexattr lremovexattr utimes inotify_add_watch openat mkdirat mknodat
    fchownat futimesat newfstatat unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat utimensat
    fanotify_mark name_to_handle_at renameat2 execveat statx open_tree move_mount fspick openat2 faccessat2
    mount_setattr fchmodat2 setxattrat getxattrat listxattrat removexattrat open_tree_attr
  `,
  process: `
    clone fork vfork execve exit wait4 kill rt_sigqueueinfo tkill exit_group tgkill waitid rt_tgsigqueueinfo execveat
    pidfd_send_signal clone3
  `,
  network: `
    sendfile socket connect accept sendto recvfrom sendmsg recvmsg shutdown bind listen getsockname getpeername
    socketpair setsockopt getsockopt getpmsg putpmsg accept4 recvmmsg sendmmsg
  `,
  signal: `
    rt_sigaction rt_sigprocmask rt_sigreturn pause kill rt_sigpending rt_sigtimedwait rt_sigqueueinfo rt_sigsuspend
    sigaltstack tkill tgkill signalfd signalfd4 rt_tgsigqueueinfo pidfd_send_signal
  `,
  ipc: 'shmget shmat shmctl semget semop semctl shmdt msgget msgsnd msgrcv msgctl semtimedop',
  desc: `
    read write open close fstat poll lseek mmap ioctl pread64 pwrite64 readv writev pipe select dup dup2 sendfile fcntl
    flock fsync fdatasync ftruncate getdents fchdir creat fchmod fchown fstatfs readahead fsetxattr fgetxattr flistxattr
    fremovexattr epoll_create getdents64 fadvise64 epoll_wait epoll_ctl mq_open mq_timedsend mq_timedreceive mq_notify
    mq_getsetattr inotify_init inotify_add_watch inotify_rm_watch openat mkdirat mknodat fchownat futimesat newfstatat
    unlinkat renameat linkat symlinkat readlinkat fchmodat faccessat pselect6 ppoll splice tee sync_file_range vmsplice
    utimensat epoll_pwait signalfd timerfd_create eventfd fallocate timerfd_settime timerfd_gettime signalfd4 eventfd2
    epoll_create1 dup3 pipe2 inotify_init1 preadv pwritev perf_event_open fanotify_init fanotify_mark name_to_handle_at
    open_by_handle_at syncfs setns finit_module renameat2 memfd_create kexec_file_load bpf execveat userfaultfd
    copy_file_range preadv2 pwritev2 statx pidfd_send_signal io_uring_setup io_uring_enter io_uring_register open_tree
    move_mount fsopen fsconfig fsmount fspick pidfd_open close_range openat2 pidfd_getfd faccessat2 process_madvise
    epoll_pwait2 mount_setattr quotactl_fd landlock_create_ruleset landlock_add_rule landlock_restrict_self memfd_secret
    process_mrelease cachestat fchmodat2
  `,
  memory: `
    mmap mprotect munmap brk mremap msync mincore madvise shmat shmdt mlock munlock mlockall munlockall
    remap_file_pages mbind set_mempolicy get_mempolicy migrate_pages move_pages mlock2 pkey_mprotect process_madvise
    set_mempolicy_home_node map_shadow_stack mseal
  `,
  creds: `
    getuid getgid setuid setgid geteuid getegid setreuid setregid getgroups setgroups setresuid getresuid setresgid
    getresgid setfsuid setfsgid capget capset prctl
  `,
  clock: 'gettimeofday adjtimex settimeofday time clock_settime clock_gettime clock_getres clock_adjtime',
  pure: 'getpid getuid getgid geteuid getegid getppid getpgrp gettid',
  stat: STAT,
  lstat: LSTAT,
  fstat: FSTAT,
  '%stat': `${STAT} ${LSTAT} ${FSTAT} statx`,
  statfs: STATFS,
  fstatfs: FSTATFS,
  '%statfs': `${STATFS} ${FSTATFS} ustat`,
};

const CLASS_ALIASES: Readonly<Record<string, string>> = { net: 'network', descriptor: 'desc' };

/** The numbers of the calls in a set, each once, in the order of the set. @throws {AttachError} ATTACH_NO_SYSCALL */
export function syscallSet(text: string): readonly number[] {
  if (text.startsWith('!')) {
    const without = new Set(syscallSet(text.slice(1)));
    return [...SYSCALL_NUMBERS.values()].filter((number) => !without.has(number));
  }
  return [...new Set(text.split(',').flatMap(numbersOf))];
}

/** The name of a call by its number, as in unistd.h. */
export function syscallName(number: number): string | undefined {
  for (const [name, known] of SYSCALL_NUMBERS) if (known === number) return name;
  return undefined;
}

/** One element of a set. */
function numbersOf(text: string): readonly number[] {
  const isOptional = text.startsWith('?');
  const wanted = (isOptional ? text.slice(1) : text).replace(/@64$/, '');
  try {
    return namedNumbers(wanted);
  } catch (error) {
    if (isOptional && error instanceof AttachError) return [];
    throw error;
  }
}

function namedNumbers(text: string): readonly number[] {
  if (text === 'all') return [...SYSCALL_NUMBERS.values()];
  if (text === 'none') return [];
  if (text.startsWith('%')) return classOf(text.slice(1));
  if (text.startsWith('/')) return matching(text.slice(1));
  const number = Number(text);
  if (/^\d+$/.test(text) && syscallName(number) !== undefined) return [number];
  return [syscallNumber(text)];
}

function classOf(name: string): readonly number[] {
  const names = CLASSES[CLASS_ALIASES[name] ?? name];
  if (names !== undefined) return names.trim().split(/\s+/).map(syscallNumber);
  const known = Object.keys(CLASSES);
  const [close] = suggest(name, known);
  throw new AttachError('ATTACH_NO_SYSCALL', `cannot find the system calls '%${name}': there is no such class`, {
    fix:
      close === undefined ? `the classes are ${known.map((one) => `%${one}`).join(', ')}` : `did you mean %${close}?`,
  });
}

/** Of what a user typed: patterns of strace are extended regular expressions that match anywhere in the name. */
function matching(pattern: string): readonly number[] {
  const expression = expressionOf(pattern);
  const found = [...SYSCALL_NUMBERS].filter(([name]) => expression.test(name)).map(([, number]) => number);
  if (found.length > 0) return found;
  throw new AttachError('ATTACH_NO_SYSCALL', `cannot find the system calls '/${pattern}': no name matches`);
}

function expressionOf(pattern: string): RegExp {
  try {
    return new RegExp(pattern);
  } catch (cause) {
    throw new AttachError(
      'ATTACH_NO_SYSCALL',
      `cannot find the system calls '/${pattern}': ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
}
