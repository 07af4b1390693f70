/*
 * A caller that knows what its callee leaves alone and keeps values in registers that a call may change by the calling
 * convention, as gcc's -fipa-ra lets it: kept
 * Work goes on while `go` is 1; `made` counts calls, `wrong` what came out wrong.
 */
#include "target.h"
#include <stdint.h>

volatile uint64_t go, made, wrong, working, busy;

static __attribute__((noinline)) long callee(long a)
{
	__asm__ volatile("" : "+r"(a));
	return a * 2 + 1;
}

/* More values than rbx, rbp and r12 to r15 hold, none of them in memory; two in vector registers, which no call keeps. */
__attribute__((noipa)) long keeper(long a, long b, long c, long d, long e, double x, double y)
{
	long first = callee(a);
	__asm__ volatile("" : "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+x"(x), "+x"(y));
	long second = callee(b);
	__asm__ volatile("" : "+r"(c), "+r"(d), "+r"(e), "+x"(x), "+x"(y));
	return first + second * 3 + c * 5 + d * 7 + e * 11 + (long)(x + y * 2);
}

int main(void)
{
	ready();
	for (long i = 0;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		for (; go == 1; i++, made++) {
			long n = i & 0xffff;
			long expected = n * 2 + 1 + ((n + 1) * 2 + 1) * 3 + (n + 2) * 5 + (n + 3) * 7 + (n + 4) * 11 + (n + 5 + (n + 6) * 2);
			wrong += keeper(n, n + 1, n + 2, n + 3, n + 4, (double)(n + 5), (double)(n + 6)) != expected;
		}
	}
}
