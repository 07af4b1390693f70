/* For each step of `go` a thread comes, calls `visit` a hundred times and ends; the first thread calls it once: transient. */
#include "target.h"
#include <pthread.h>
#include <stdint.h>

volatile uint64_t visits, finished;
volatile int go;

__attribute__((noipa)) long visit(long n)
{
	visits++;
	return n + 1;
}

static void *transient(void *unused)
{
	for (int n = 0; n < 100; n++)
		visit(n);
	return unused;
}

int main(void)
{
	pthread_t thread;

	ready();
	for (int done = 0;; usleep(1000)) {
		if (go == done)
			continue;
		pthread_create(&thread, NULL, transient, NULL);
		pthread_join(thread, NULL);
		visit(0);
		done++;
		finished++;
	}
}
