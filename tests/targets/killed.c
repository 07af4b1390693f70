/*
 * For each step of `go` the parent calls `work` once, and then forks a child that calls it without end. Children end by being
 * killed: killed.
 */
#include "target.h"
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/wait.h>

volatile uint64_t child, calls;
volatile int go;

__attribute__((noipa)) long work(long a, long b)
{
	return a * 2 + b;
}

int main(void)
{
	signal(SIGCHLD, SIG_IGN);
	ready();
	for (int done = 0;;) {
		if (go == done) {
			usleep(200);
			continue;
		}
		work(++done, 2);
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (long n = 0;; n++)
				work(n & 0xffff, 1);
		}
		child = pid;
		calls++;
	}
}
