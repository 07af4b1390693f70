/* Has a child that it does not wait for: its number is in `child`. It ends with its parent, or when a test has it killed. */
#include "target.h"
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>

volatile uint64_t child;

int main(void) {
  pid_t pid = fork();
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(3);
    for (;;) pause();
  }
  child = pid;
  ready();
  for (;;) pause();
}
