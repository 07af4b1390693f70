/*
 * Calls what a test asks for and says what came back. A step of `go` makes one call each of `combine`, `sum` and
 * `many_arguments`; with a = -1 four threads call `recursive` instead, b saying whether it is overridden at 0xabce.
 * Usage: overridden CONTROL-FILE
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target.h"

struct control {
	volatile uint64_t go, done, a, b, result, calls, wrong, sum, sum_calls;
};

static struct control *control;

__attribute__((noipa)) uint64_t combine(uint64_t a, uint64_t b)
{
	control->calls++;
	return (a << 32) | b;
}

__attribute__((noipa)) uint64_t sum(uint64_t a, uint64_t b)
{
	control->sum_calls++;
	return a * 2 + b;
}

/* Registers, stack, vector registers and the count of those in al: all must arrive when it is not bypassed. */
__attribute__((noipa)) double many_arguments(int count, ...)
{
	double sum = 0;
	va_list list;
	va_start(list, count);
	for (int i = 0; i < count; i++)
		sum = sum * 2 + va_arg(list, double) + (double)va_arg(list, long);
	va_end(list);
	return sum;
}

__attribute__((noipa, optimize("O1"))) uint64_t recursive(uint64_t a, uint64_t b)
{
	return a <= 0xabc8 ? b : recursive(a - 1, b) + 1;
}

static void *racer(void *seed)
{
	for (uint64_t i = (uint64_t)seed; i < 200000; i++) {
		uint64_t a = 0xabc4 + i % 16;
		uint64_t usual = a <= 0xabc8 ? i : i + a - 0xabc8;
		if (recursive(a, i) != (control->b && a >= 0xabce ? a + i : usual))
			__atomic_fetch_add(&control->wrong, 1, __ATOMIC_RELAXED);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	int fd = open(argv[1], O_RDWR);
	control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED)
		return 1;
	ready();
	for (uint64_t seen = 0;; seen++) {
		while (control->go == seen)
			usleep(100);
		if (control->a == ~0ULL) {
			pthread_t threads[4];
			for (long t = 0; t < 4; t++)
				pthread_create(&threads[t], 0, racer, (void *)(t * 5));
			for (int t = 0; t < 4; t++)
				pthread_join(threads[t], 0);
		} else {
			control->result = combine(control->a, control->b);
			control->sum = sum(control->a, control->b);
			if (many_arguments(10, 1.0, 1L, 2.0, 2L, 3.0, 3L, 4.0, 4L, 5.0, 5L, 6.0, 6L, 7.0, 7L, 8.0, 8L, 9.0, 9L, 10.0, 10L) != 4072)
				control->wrong++;
		}
		control->done++;
	}
}
