/*
 * Threads that come to `leaf` by two ways, all frames with frame pointers: main, or start, > way_one or way_two > step > leaf; and at its
 * end each makes the system call getppid from `ask`.
 */
#include <pthread.h>

#include "returning.h"

#define FRAMED __attribute__((noinline, noclone, optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

enum { THREADS = 8, ROUNDS = 200 };

static volatile long sum;

FRAMED void leaf(long value)
{
	sum += value;
	count_call();
}

FRAMED void step(long value)
{
	leaf(value);
	sum++;
}

FRAMED void way_one(void)
{
	step(1);
	sum++;
}

FRAMED void way_two(void)
{
	step(2);
	sum++;
}

FRAMED void *start(void *unused)
{
	for (int round = 0; round < ROUNDS; round++) {
		way_one();
		way_two();
	}
	return unused;
}

static void chain(void)
{
	pthread_t threads[THREADS];

	for (int n = 0; n < THREADS; n++)
		check(!pthread_create(&threads[n], 0, start, 0));
	for (int n = 0; n < THREADS; n++)
		pthread_join(threads[n], 0);
}

FRAMED void ask(void)
{
	long parent = 0;

	__asm__ volatile("syscall" : "=a"(parent) : "0"(110L) : "rcx", "r11", "memory");
	check(parent == getppid());
}

static const struct scenario scenarios[] = { { "chain", chain }, { "ask", ask }, { 0, 0 } };

int main(int argc, char **argv)
{
	return run_scenarios(argc, argv, scenarios);
}
