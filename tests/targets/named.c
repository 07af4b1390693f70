/* A process whose two threads have names of their own, `first` and `second`, and call `touch` a thousand times a second each. */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <sys/prctl.h>

__attribute__((noinline)) long touch(long number)
{
	__asm__ volatile("" : "+r"(number));
	return number + 1;
}

static void *work(void *name)
{
	prctl(PR_SET_NAME, name);
	for (long number = 0;; number = touch(number))
		usleep(1000);
	return 0;
}

int main(void)
{
	pthread_t thread;

	pthread_create(&thread, 0, work, "second");
	ready();
	work("first");
}
