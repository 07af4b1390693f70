/*
 * Threads that take memory and give it back, from two places each of which keeps a known part of it, and that call the kernel from
 * two more; all frames with frame pointers.
 */
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>

#include "returning.h"

#define FRAMED __attribute__((noinline, noclone, optimize("no-omit-frame-pointer", "no-optimize-sibling-calls")))

enum { THREADS = 4, ROUNDS = 300 };

static volatile long sum;

FRAMED void *take(size_t size)
{
	count_call();
	return malloc(size);
}

FRAMED void give(void *memory)
{
	free(memory);
	sum++;
}

/* Keeps one of three. */
FRAMED void keep_some(int round)
{
	void *memory = take(100);

	if (round % 3)
		give(memory);
	sum++;
}

FRAMED void keep_all(int round)
{
	sum += take(round % 2 ? 24 : 40) != 0;
}

FRAMED void wake_often(int *word)
{
	for (int n = 0; n < 5; n++)
		check(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0) == 0);
	sum++;
}

FRAMED void wake_seldom(int *word)
{
	check(syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0) == 0);
	sum++;
}

FRAMED void report(long what)
{
	sum += what;
}

FRAMED void *work(void *unused)
{
	int word = 0;

	for (int round = 0; round < ROUNDS; round++) {
		keep_some(round);
		keep_all(round);
		wake_often(&word);
		wake_seldom(&word);
	}
	return unused;
}

static void allocate(void)
{
	pthread_t threads[THREADS];

	for (int n = 0; n < THREADS; n++)
		check(!pthread_create(&threads[n], 0, work, 0));
	for (int n = 0; n < THREADS; n++)
		pthread_join(threads[n], 0);
	report(1);
}

static const struct scenario scenarios[] = { { "allocate", allocate }, { 0, 0 } };

int main(int argc, char **argv)
{
	return run_scenarios(argc, argv, scenarios);
}
