/* Has a child that has ended and is not waited for: its number is in `child`. */
#include "target.h"
#include <signal.h>
#include <stdint.h>
#include <sys/wait.h>

volatile uint64_t child;

int main(void) {
  pid_t pid = fork();
  if (pid == 0) _exit(0);
  waitid(P_PID, pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
  child = pid;
  ready();
  for (;;) pause();
}
