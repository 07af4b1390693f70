/*
 * Threads that end inside a probed function, one after the other and in every way there is: ending [STACKS]
 * With STACKS each runs on another of so many stacks, so that its thread pointer is another too; else the C library chooses.
 * Work goes on while `go` is 1: `made` counts calls of `inside`, `returned` those that returned, `vanished` those of threads that
 * left without unwinding.
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>

volatile uint64_t go, made, wrong, working, busy, returned, vanished;

enum { RETURNS, EXITS, CANCELS_ITSELF, IS_CANCELLED, VANISHES, WAYS };

static pthread_barrier_t met;

__attribute__((noipa)) long inside(long way)
{
	made++;
	switch (way) {
	case RETURNS:
		returned++;
		break;
	case EXITS:
		pthread_exit((void *)way);
	case CANCELS_ITSELF:
		pthread_cancel(pthread_self());
		pthread_testcancel();
		break;
	case IS_CANCELLED:
		pthread_barrier_wait(&met);
		for (;;)
			pause();
	case VANISHES:
		vanished++;
		syscall(SYS_exit, 0);
	}
	return way;
}

/* One more of ours on the stack. */
__attribute__((noipa)) long around(long way)
{
	long result = inside(way);
	__asm__ volatile("" : "+r"(result));
	return result;
}

static void *body(void *way)
{
	return (void *)around((long)way);
}

int main(int argc, char **argv)
{
	enum { SIZE = 32768 };
	long stacks = argc > 1 ? atol(argv[1]) : 0;
	char *memory = stacks ? mmap(0, stacks * SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : 0;
	pthread_barrier_init(&met, 0, 2);
	ready();
	for (long n = 0;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		for (; go == 1; n++) {
			pthread_attr_t attributes;
			pthread_t thread;
			void *result = 0;
			long way = n % WAYS;
			pthread_attr_init(&attributes);
			if (stacks) {
				char *stack = memory + n % stacks * SIZE;
				/* Used a little and never again: its memory is not to count as what a probe takes. */
				pthread_attr_setstack(&attributes, stack, SIZE);
			}
			if (pthread_create(&thread, &attributes, body, (void *)way)) {
				wrong++;
				continue;
			}
			if (way == IS_CANCELLED) {
				pthread_barrier_wait(&met);
				pthread_cancel(thread);
			}
			pthread_join(thread, &result);
			if (stacks)
				madvise(memory + n % stacks * SIZE, SIZE, MADV_DONTNEED);
			if (way != VANISHES)
				wrong += result != (way == CANCELS_ITSELF || way == IS_CANCELLED ? PTHREAD_CANCELED : (void *)way);
		}
	}
}
