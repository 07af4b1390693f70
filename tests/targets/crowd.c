/*
 * As many threads as the first argument says; for each step of `go` all of them call `visit` as often as the second says, at the same
 * time, and so does the handler of a timer, whatever it interrupts: crowd.
 */
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/time.h>

volatile uint64_t visits, finished;
volatile int go;
static int share;
static pthread_barrier_t barrier;

__attribute__((noipa)) long visit(long n)
{
	return n + 1;
}

static void on_alarm(int signal)
{
	visit(signal);
	__atomic_fetch_add(&visits, 1, __ATOMIC_RELAXED);
}

/* Handlers run on visitors only, and only while they visit: when all are through, none is under way. */
static void *visitor(void *unused)
{
	sigset_t alarms;

	(void)unused;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	for (int done = 0;;) {
		if (go == done) {
			usleep(1000);
			continue;
		}
		done++;
		pthread_barrier_wait(&barrier);
		pthread_sigmask(SIG_UNBLOCK, &alarms, NULL);
		for (int n = 0; n < share; n++)
			visit(n);
		pthread_sigmask(SIG_BLOCK, &alarms, NULL);
		__atomic_fetch_add(&visits, share, __ATOMIC_RELAXED);
		pthread_barrier_wait(&barrier);
		__atomic_fetch_add(&finished, 1, __ATOMIC_RELAXED);
	}
}

int main(int argc, char **argv)
{
	int count = atoi(argv[1]);
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	struct itimerval often = {{0, 100}, {0, 100}};
	pthread_t thread;
	sigset_t alarms;

	share = argc > 2 ? atoi(argv[2]) : 1;
	sigemptyset(&alarms);
	sigaddset(&alarms, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &alarms, NULL);
	pthread_barrier_init(&barrier, NULL, count);
	for (int n = 0; n < count; n++)
		pthread_create(&thread, NULL, visitor, NULL);
	sigaction(SIGALRM, &action, NULL);
	ready();
	for (int done = 0;; usleep(100)) {
		if (go == done)
			continue;
		setitimer(ITIMER_REAL, &often, NULL);
		while (finished < (uint64_t)count * (done + 1))
			usleep(100);
		setitimer(ITIMER_REAL, &(struct itimerval){}, NULL);
		done++;
	}
}
