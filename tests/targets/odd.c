/*
 * A process that is not as others: odd MODE [ARGUMENT]. It calls `work` as often as `limit` says, counts in `calls` and
 * wrong results in `wrong`. Once, when `act` is set: 1 it is not dumpable any more, 2 it becomes user 65534, 3 it enters a user
 * namespace of its own, 4 it gives up its capabilities, 5 it replaces its program by that named in $ODD_EXEC.
 *   plain
 *   filter ACTION  a seccomp filter that allows what waiting takes and answers all else: errno, kill, trap, trace, notify
 *   thread         another thread has such a filter, that kills; the first has none
 *   strict [later] seccomp mode 1; when `confined` is set
 *   nodump         not dumpable
 *   user UID       has become another user
 *   locked         locks all its memory, and has locked as much as it may
 *   full           has as many open files as it may
 *   narrow         executes 32-bit code
 *   ring           has a thread of the kernel's, for io_uring, if it may; the first never sleeps
 *   hog            never sleeps, at a real-time priority if it may have one, for twenty seconds at most
 *   vfork          waits in vfork for a child until `act` is set
 *   maps FILE...   maps the beginning of files as code
 *   as PID         is a child that got this number
 *   tracer COMMAND...  runs a command under ptrace, as a debugger would
 *   parent COMMAND...  runs a command and goes on
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/io_uring.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

volatile uint64_t calls, wrong, limit, confined, act, acted;
static int sleeps = 1;

__attribute__((noipa)) long work(long a, long b) { return a * 2 + b; }

static int drop_capabilities(void) {
  struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
  struct __user_cap_data_struct none[2] = {0};
  return syscall(SYS_capset, &header, none);
}

static void change(int how) {
  int failed = how == 1   ? prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)
               : how == 2 ? setgid(65534) || setuid(65534)
               : how == 3 ? unshare(CLONE_NEWUSER)
               : how == 4 ? drop_capabilities()
                          : execl(getenv("ODD_EXEC"), "odd", (char *)0);
  act = 0;
  acted = failed ? -1 : 1;
}

static void go_on(void) {
  for (long n = 0;; n++) {
    while (calls >= limit)
      if (act) change(act);
      else if (sleeps) nanosleep(&(struct timespec){0, 1000000}, 0);
    if (work(n, 3) != n * 2 + 3) wrong++;
    calls++;
  }
}

/* As that of target.h, with no more system calls than a filter allows. */
static void ready(void) {
  if (write(3, "ready\n", 6) == 6) close(3);
}

static const int waits[] = {SYS_read,  SYS_write,      SYS_close,        SYS_nanosleep,       SYS_clock_nanosleep,
                            SYS_futex, SYS_exit_group, SYS_rt_sigreturn, SYS_restart_syscall, SYS_exit};
#define WAITS (sizeof waits / sizeof *waits)

static int filter(const char *action) {
  static const struct {
    const char *name;
    unsigned value;
  } actions[] = {{"errno", SECCOMP_RET_ERRNO | 1},
                 {"kill", SECCOMP_RET_KILL_PROCESS},
                 {"trap", SECCOMP_RET_TRAP},
                 {"trace", SECCOMP_RET_TRACE},
                 {"notify", SECCOMP_RET_USER_NOTIF}};
  struct sock_filter code[WAITS + 3];
  struct sock_fprog program = {WAITS + 3, code};
  code[0] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (unsigned n = 0; n < WAITS; n++)
    code[n + 1] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, waits[n], WAITS - n, 0);
  for (unsigned n = 0; n < sizeof actions / sizeof *actions; n++)
    if (!strcmp(actions[n].name, action)) code[WAITS + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, actions[n].value);
  code[WAITS + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  int flags = strcmp(action, "notify") ? 0 : SECCOMP_FILTER_FLAG_NEW_LISTENER;
  return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0;
}

static void *filtered_thread(void *unused) {
  if (filter("kill")) exit(1);
  for (;;) nanosleep(&(struct timespec){1, 0}, 0);
  return unused;
}

static int lock(void) {
  struct rlimit most;
  getrlimit(RLIMIT_MEMLOCK, &most);
  if (most.rlim_cur > 64 << 20) most.rlim_cur = 64 << 20;
  if (setrlimit(RLIMIT_MEMLOCK, &most) || setresgid(65534, 65534, 65534) || setresuid(65534, 65534, 65534)) return 1;
  if (mlockall(MCL_CURRENT | MCL_FUTURE)) return 1;
  while (mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
  return 0;
}

static void map_as_code(char **paths) {
  for (; *paths; paths++) {
    int fd = open(*paths, O_RDONLY);
    mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    close(fd);
  }
}

/* Goes on in a child of that number, and waits for it. */
static void be(pid_t number) {
  struct clone_args args = {.exit_signal = SIGCHLD, .set_tid = (uintptr_t)&number, .set_tid_size = 1};
  pid_t child = syscall(SYS_clone3, &args, sizeof args);
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    return;
  }
  close(3);
  waitpid(child, 0, 0);
  _exit(child < 0);
}

static void narrow(void) {
  uint8_t *code = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
  memcpy(code, "\x40\xeb\xfd", 3); /* 1: inc eax; jmp 1b */
  mprotect(code, 4096, PROT_READ | PROT_EXEC);
  ready();
  __asm__ volatile("push $0x23\n push %0\n lretq\n" : : "r"((uint64_t)(uintptr_t)code));
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "plain";
  pthread_t thread;
  if (!strcmp(mode, "filter") && filter(argv[2])) return 1;
  if (!strcmp(mode, "thread")) {
    pthread_create(&thread, 0, filtered_thread, 0);
    usleep(50000);
  }
  if (!strcmp(mode, "strict")) {
    sleeps = 0;
    ready();
    while (argc > 2 && !confined)
      if (calls < limit) work(calls++, 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, 0)) return 1;
    go_on();
  }
  if (!strcmp(mode, "nodump")) prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  if (!strcmp(mode, "user") && (setresgid(atoi(argv[2]), atoi(argv[2]), atoi(argv[2])) || setuid(atoi(argv[2])))) return 1;
  if (!strcmp(mode, "locked") && lock()) return 1;
  if (!strcmp(mode, "full")) setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, 3});
  if (!strcmp(mode, "maps")) map_as_code(argv + 2);
  if (!strcmp(mode, "as")) be(atoi(argv[2]));
  if (!strcmp(mode, "narrow")) narrow();
  if (!strcmp(mode, "ring")) {
    struct io_uring_params params = {.flags = IORING_SETUP_SQPOLL, .sq_thread_idle = 1};
    syscall(SYS_io_uring_setup, 8, &params);
    sleeps = 0;
  }
  if (!strcmp(mode, "hog")) {
    sleeps = 0;
    alarm(20);
    sched_setscheduler(0, SCHED_FIFO, &(struct sched_param){1});
  }
  if (!strcmp(mode, "vfork")) {
    ready();
    if (vfork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (!act) usleep(1000);
      _exit(0);
    }
    act = 0;
    go_on();
  }
  int traces = !strcmp(mode, "tracer");
  if (traces || !strcmp(mode, "parent")) {
    pid_t child = fork();
    if (child == 0) {
      if (traces) ptrace(PTRACE_TRACEME, 0, 0, 0);
      execv(argv[2], argv + 2);
      _exit(127);
    }
    if (!traces) {
      limit = -1;
      ready();
      go_on();
    }
    ready();
    for (int status; waitpid(child, &status, 0) == child && WIFSTOPPED(status);)
      ptrace(PTRACE_CONT, child, 0, WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status));
    for (;;) pause();
  }
  ready();
  go_on();
}
