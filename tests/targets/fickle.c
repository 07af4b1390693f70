/*
 * Has a child that calls `work` without end and, so long after `go` was set in its memory, does something else: fickle MODE MICROSECONDS.
 *   exit    it ends
 *   exec    it replaces its program by this one, which ends as long afterwards
 *   unload  it loads a library, calls it and unloads it again all the while, and ends
 * Its number is in `child`; when it has ended `ended` is 1 and `status` what wait(2) said.
 */
#define _GNU_SOURCE
#include "target.h"
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>

volatile uint64_t child, ended, status;
volatile int go;

__attribute__((noipa)) long work(long a, long b) { return a * 2 + b; }

static int64_t now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

static void unload_once(void) {
  void *library = dlopen("libm.so.6", RTLD_NOW);
  double (*cbrt)(double) = library ? (double (*)(double))dlsym(library, "cbrt") : 0;
  if (!cbrt || !(cbrt(27) > 2.9)) _exit(3);
  dlclose(library);
}

static void be(const char *mode, int64_t microseconds, char **argv) {
  int64_t end = 0;
  for (long n = 0; end == 0 || now() < end; n++) {
    if (go && end == 0) end = now() + microseconds;
    if (work(n, 3) != n * 2 + 3) _exit(2);
    if (!strcmp(mode, "unload")) unload_once();
  }
  if (!strcmp(mode, "exec")) execl("/proc/self/exe", argv[0], "again", argv[2], (char *)0);
  _exit(0);
}

int main(int argc, char **argv) {
  if (argc != 3) return 1;
  go = !strcmp(argv[1], "again");
  if (go) be("exit", atol(argv[2]), argv);
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(3);
    be(argv[1], atol(argv[2]), argv);
  }
  child = pid;
  ready();
  int said = -1;
  waitpid(pid, &said, 0);
  status = said;
  ended = 1;
  for (;;) pause();
}
