/*
 * For each step of `go` a child is forked that calls `work` without end; the parent calls it once a step, after that. Children end
 * by being killed: killed.
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
		done++;
		pid_t pid = fork();
		if (pid == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			for (long n = 0;; n++)
				work(n & 0xffff, 1);
		}
		work(done, 2);
		calls++;
		child = pid;
	}
}
