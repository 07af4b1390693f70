/* Forks once `go` is set: the child, its number in `child`, calls `work` without end and counts in `calls`, as does its parent. */
#include "target.h"
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>

volatile uint64_t calls, wrong, child;
volatile int go;

__attribute__((noipa)) long work(long n) {
  return n * 3 + 7;
}

int main(void) {
  ready();
  for (long n = 0;; n++) {
    if (go && child == 0) {
      pid_t pid = fork();
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        child = 1;
      } else {
        child = pid;
      }
    }
    if (work(n) != n * 3 + 7) wrong++;
    calls++;
  }
}
