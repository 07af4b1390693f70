/*
 * Makes children that call `work` 3 times each, and counts in memory that all of them share. What it does, once `go` is set, is its
 * argument: `fork` as fast as it can, COUNT of them; `vfork` and `spawn` this program anew, with the argument `child`; `stay` forks
 * one that calls `work` without end. A stack that is not as it was counts as `wrong`.
 */
#include "target.h"
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct shared {
  uint64_t calls, wrong;
};

static struct shared *shared;
volatile uint64_t calls, wrong, done, child;
volatile int go, count = 1000;
extern char **environ;

__attribute__((noipa)) long work(long n) {
  return n * 3 + 7;
}

static void serve(int times) {
  for (long n = 0; n < times; n++) {
    if (work(n) != n * 3 + 7) __atomic_add_fetch(&shared->wrong, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
  }
}

__attribute__((noipa)) static pid_t begin(const char *how, char **argv) {
  volatile uint64_t canary[64];
  pid_t pid = -1;
  for (int n = 0; n < 64; n++) canary[n] = 0x5afe0000u + n;
  if (!strcmp(how, "fork") && (pid = fork()) == 0) {
    serve(3);
    _exit(0);
  }
  if (!strcmp(how, "vfork") && (pid = vfork()) == 0) {
    execv(argv[0], argv);
    _exit(127);
  }
  if (!strcmp(how, "spawn") && posix_spawn(&pid, argv[0], 0, 0, argv, environ)) pid = -1;
  for (int n = 0; n < 64; n++)
    if (canary[n] != 0x5afe0000u + n) wrong++;
  return pid;
}

static void publish(void) {
  calls = shared->calls;
  if (shared->wrong) wrong += 1;
}

int main(int argc, char **argv) {
  char *again[] = {"/proc/self/exe", "child", 0};

  shared = mmap(0, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (!strcmp(argv[1], "child")) {
    serve(3);
    return 0;
  }
  ready();
  while (!go) usleep(1000);
  if (!strcmp(argv[1], "stay")) {
    if ((child = fork()) == 0) {
      prctl(PR_SET_PDEATHSIG, argc > 2 ? 0 : SIGKILL);
      for (;;) {
        serve(1);
        publish();
      }
    }
    for (;;) pause();
  }
  for (int n = 0; n < count; n++) {
    int status = 1;
    pid_t pid = begin(argv[1], again);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status) wrong++;
    publish();
  }
  done = 1;
  for (;;) pause();
}
