/* Functions that return in every way there is in C: see returning.h. The probed ones are those with `probed` in their name. */
#define _GNU_SOURCE
#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

#include "returning.h"

/* Every call that is written is made: -O2 turns recursion into loops. */
#define PROBED __attribute__((noipa, optimize("O1")))

PROBED long probed_sum(long a, long b)
{
	count_call();
	return a * 2 + b;
}

PROBED long probed_recursive(long n)
{
	count_call();
	return n < 2 ? n : probed_recursive(n - 1) + probed_recursive(n - 2);
}

static void recursion(void)
{
	check(probed_recursive(20) == 6765);
}

PROBED long probed_deep(long n)
{
	count_call();
	return n == 0 ? 0 : 1 + probed_deep(n - 1);
}

/* Deeper than the return stack of a thread. */
static void depth(void)
{
	for (int i = 0; i < 20; i++)
		check(probed_deep(500) == 500);
	check(probed_sum(1, 2) == 4);
}

/* That these never return is what they are for. */
#pragma GCC diagnostic ignored "-Winfinite-recursion"

static jmp_buf env;

PROBED long probed_jumping(long n)
{
	count_call();
	if (n == 0)
		longjmp(env, 7);
	return 1 + probed_jumping(n - 1);
}

PROBED long probed_around(long n)
{
	count_call();
	int code = setjmp(env);
	if (code == 0)
		probed_jumping(n);
	return n + code;
}

static void jumps(void)
{
	for (long i = 0; i < 3000; i++)
		check(probed_around(i % 5) == i % 5 + 7);
	check(probed_sum(1, 2) == 4);
}

static __thread int cleaned;

static void clean(void *arg)
{
	cleaned += (int)(long)arg;
	check(cleaned == 1 || cleaned == 3);
}

PROBED long probed_exiting(long n)
{
	long result;
	count_call();
	pthread_cleanup_push(clean, (void *)(n == 0 ? 1L : 2L));
	if (n == 0)
		pthread_exit((void *)42L);
	result = probed_exiting(n - 1) + 1;
	pthread_cleanup_pop(0);
	return result;
}

static void *exit_thread(void *arg)
{
	probed_exiting((long)arg);
	check(0);
	return 0;
}

static void thread_exits(void)
{
	for (int i = 0; i < 200; i++) {
		pthread_t thread;
		void *result;
		check(pthread_create(&thread, 0, exit_thread, (void *)1L) == 0);
		pthread_join(thread, &result);
		check(result == (void *)42L);
	}
}

static volatile int waiting;

PROBED long probed_waiting(long n)
{
	long result = 0;
	count_call();
	pthread_cleanup_push(clean, (void *)(n == 0 ? 1L : 2L));
	if (n == 0) {
		waiting = 1;
		for (;;)
			pause();
	}
	result = probed_waiting(n - 1) + 1;
	pthread_cleanup_pop(0);
	return result;
}

static void *wait_thread(void *arg)
{
	probed_waiting((long)arg);
	check(0);
	return 0;
}

static void cancellation(void)
{
	for (int i = 0; i < 100; i++) {
		pthread_t thread;
		void *result;
		waiting = 0;
		check(pthread_create(&thread, 0, wait_thread, (void *)1L) == 0);
		while (!waiting)
			usleep(50);
		pthread_cancel(thread);
		pthread_join(thread, &result);
		check(result == PTHREAD_CANCELED);
	}
}

/* Coroutines that leave their stack in the middle of probed functions; two threads take turns in resuming them. */
enum { COROUTINES = 4, STEPS = 500 };
static ucontext_t outside[COROUTINES], inside[COROUTINES];
static char stacks[COROUTINES][64 * 1024];
static int ended[COROUTINES];

PROBED long probed_yielding(long which, long depth)
{
	count_call();
	if (depth > 0)
		return 1 + probed_yielding(which, depth - 1);
	swapcontext(&inside[which], &outside[which]);
	return which;
}

static void coroutine(int which)
{
	for (int step = 0; step < STEPS; step++)
		check(probed_yielding(which, step % 4) == which + step % 4);
	ended[which] = 1;
	swapcontext(&inside[which], &outside[which]);
}

static void start_coroutines(void)
{
	for (int c = 0; c < COROUTINES; c++) {
		getcontext(&inside[c]);
		inside[c].uc_stack.ss_sp = stacks[c];
		inside[c].uc_stack.ss_size = sizeof(stacks[c]);
		inside[c].uc_link = 0;
		makecontext(&inside[c], (void (*)(void))coroutine, 1, c);
		ended[c] = 0;
	}
}

static int resume_all(void)
{
	int left = 0;
	for (int c = 0; c < COROUTINES; c++) {
		if (ended[c])
			continue;
		swapcontext(&outside[c], &inside[c]);
		left++;
	}
	return left;
}

static void coroutines(void)
{
	start_coroutines();
	while (resume_all())
		check(probed_sum(1, 2) == 4);
}

static pthread_barrier_t turn;
static volatile int left;

static void *resumer(void *parity)
{
	for (long round = 0;; round++) {
		if ((round & 1) == (long)parity)
			left = resume_all();
		pthread_barrier_wait(&turn);
		int ends = left == 0;
		pthread_barrier_wait(&turn);
		if (ends)
			return 0;
	}
}

static void migration(void)
{
	pthread_t threads[2];
	start_coroutines();
	left = COROUTINES;
	pthread_barrier_init(&turn, 0, 2);
	for (long t = 0; t < 2; t++)
		pthread_create(&threads[t], 0, resumer, (void *)t);
	for (int t = 0; t < 2; t++)
		pthread_join(threads[t], 0);
}

static void *frames[16];

PROBED long probed_tracing(long n)
{
	count_call();
	long result = n == 0 ? backtrace(frames, 16) : probed_tracing(n - 1);
	__asm__ volatile("" : "+r"(result)); /* no tail call */
	return result;
}

/* The first run is not probed: the later ones must see the same frames. */
static void backtraces(void)
{
	static void *expected[16];
	static long count;
	for (int i = 0; i < 50; i++) {
		long found = probed_tracing(3);
		if (count == 0) {
			memcpy(expected, frames, sizeof(frames));
			count = found;
		}
		check(found == count && found >= 5 && memcmp(expected, frames, sizeof(frames)) == 0);
	}
}

static volatile int in_handler_wrong;

static void on_timer(int signal)
{
	(void)signal;
	if (probed_sum(3, 4) != 10)
		in_handler_wrong = 1;
}

static void signals(void)
{
	timer_t timer;
	struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
	struct itimerspec every = {{0, 100000}, {0, 100000}}, never = {{0, 0}, {0, 0}};
	struct timespec start, now;
	signal(SIGPROF, on_timer);
	timer_create(CLOCK_MONOTONIC, &event, &timer);
	timer_settime(timer, 0, &every, 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do {
		for (long i = 0; i < 1000; i++)
			check(probed_sum(i, 1) == 2 * i + 1);
		check(probed_recursive(8) == 21);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 3);
	timer_settime(timer, 0, &never, 0);
	timer_delete(timer);
	check(!in_handler_wrong);
}

PROBED long probed_forking(long n)
{
	count_call();
	if (n > 0)
		return 1 + probed_forking(n - 1);
	pid_t child = fork();
	if (child == 0)
		return 100;
	int status;
	check(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
	return 0;
}

static void forks(void)
{
	for (int i = 0; i < 50; i++) {
		pid_t self = getpid();
		long result = probed_forking(2);
		if (getpid() != self)
			_exit(!(result == 102 && probed_sum(5, 6) == 16 && probed_recursive(5) == 5));
		check(result == 2);
	}
}

/* Sets every register, calls, and compares: rax, rdx and xmm0, xmm1 carry the result, all others must come back. */
extern long probed_torture(void);
extern long run_torture(void *room);
__asm__(".text\n.globl probed_torture\n.type probed_torture, @function\n"
	"probed_torture:\n"
	"	push %rbx\n"
	"	mov $0x1122334455667788, %rax\n"
	"	mov $0x99aabbccddeeff00, %rdx\n"
	"	movq %rax, %xmm0\n"
	"	movq %rdx, %xmm1\n"
	"	pop %rbx\n"
	"	ret\n"
	".size probed_torture, . - probed_torture\n"
	".globl run_torture\n.type run_torture, @function\n"
	"run_torture:\n"
	"	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n	push %rdi\n"
	"	mov $0x101, %rax\n	mov $0x202, %rbx\n	mov $0x303, %rcx\n	mov $0x404, %rdx\n	mov $0x505, %rsi\n"
	"	mov $0x606, %rdi\n	mov $0x707, %rbp\n	mov $0x808, %r8\n	mov $0x909, %r9\n	mov $0xa0a, %r10\n"
	"	mov $0xb0b, %r11\n	mov $0xc0c, %r12\n	mov $0xd0d, %r13\n	mov $0xe0e, %r14\n	mov $0xf0f, %r15\n"
	"	movq %rcx, %xmm2\n	movq %rsi, %xmm7\n	movq %r15, %xmm15\n"
	"	call probed_torture\n"
	"	xor $0x202, %rbx\n	xor $0x303, %rcx\n	xor $0x505, %rsi\n	xor $0x606, %rdi\n	xor $0x707, %rbp\n"
	"	xor $0x808, %r8\n	xor $0x909, %r9\n	xor $0xa0a, %r10\n	xor $0xb0b, %r11\n	xor $0xc0c, %r12\n"
	"	xor $0xd0d, %r13\n	xor $0xe0e, %r14\n	xor $0xf0f, %r15\n"
	"	or %rcx, %rbx\n	or %rsi, %rbx\n	or %rdi, %rbx\n	or %rbp, %rbx\n	or %r8, %rbx\n	or %r9, %rbx\n"
	"	or %r10, %rbx\n	or %r11, %rbx\n	or %r12, %rbx\n	or %r13, %rbx\n	or %r14, %rbx\n	or %r15, %rbx\n"
	"	mov $0x1122334455667788, %rcx\n	mov %rcx, %rsi\n	xor %rax, %rcx\n	or %rcx, %rbx\n"
	"	movq %xmm0, %rcx\n	xor %rsi, %rcx\n	or %rcx, %rbx\n"
	"	mov $0x99aabbccddeeff00, %rcx\n	mov %rcx, %rsi\n	xor %rdx, %rcx\n	or %rcx, %rbx\n"
	"	movq %xmm1, %rcx\n	xor %rsi, %rcx\n	or %rcx, %rbx\n"
	"	movq %xmm2, %rcx\n	xor $0x303, %rcx\n	or %rcx, %rbx\n"
	"	movq %xmm7, %rcx\n	xor $0x505, %rcx\n	or %rcx, %rbx\n"
	"	movq %xmm15, %rcx\n	xor $0xf0f, %rcx\n	or %rcx, %rbx\n"
	"	pop %rdi\n	mov %rbx, %rax\n"
	"	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n	ret\n"
	".size run_torture, . - run_torture\n");

static void registers(void)
{
	for (int i = 0; i < 1000000; i++) {
		control->calls++;
		check(run_torture(0) == 0);
	}
}

static void *sum_thread(void *seed)
{
	for (long i = 0; i < 50; i++)
		check(probed_sum((long)seed, i) == 2 * (long)seed + i);
	return 0;
}

/* Threads that come and go, 32 at a time. */
static void threads(void)
{
	pthread_t running[32];
	for (long round = 0; round < 100; round++) {
		for (long t = 0; t < 32; t++)
			check(pthread_create(&running[t], 0, sum_thread, (void *)(round + t)) == 0);
		for (int t = 0; t < 32; t++)
			pthread_join(running[t], 0);
	}
}

/* Stays inside until the test lets it go. */
PROBED long probed_staying(long n)
{
	count_call();
	while (control->go < 2)
		usleep(200);
	return n + 1;
}

#define JUMPING __attribute__((noipa, optimize("O2")))

/* Its last act is a jump to another probed function: both return from the same place on the stack. */
JUMPING long probed_jumping_to_staying(long n)
{
	count_call();
	return probed_staying(n + 1);
}

static void staying(void)
{
	check(probed_jumping_to_staying(1) == 3);
}

JUMPING long probed_last(long n)
{
	count_call();
	return n + 1;
}

JUMPING long probed_middle(long n)
{
	count_call();
	return probed_last(n + 1);
}

JUMPING long probed_first(long n)
{
	count_call();
	return probed_middle(n + 1);
}

PROBED long probed_before_jumps(long n)
{
	count_call();
	return n == 0 ? probed_first(1) - 4 : 1 + probed_before_jumps(n - 1);
}

/* With room on the return stack, with room for one or two more, and with none. */
static void tail_calls(void)
{
	for (long n = 0; n < 200; n++)
		check(probed_before_jumps(n) == n);
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{"recursion", recursion},     {"depth", depth},         {"longjmp", jumps},
		{"pthread_exit", thread_exits}, {"cancel", cancellation}, {"swapcontext", coroutines},
		{"migration", migration},     {"backtrace", backtraces}, {"signals", signals},
		{"fork", forks},	      {"registers", registers}, {"staying", staying},
		{"tail", tail_calls},	      {"threads", threads},	{0, 0},
	};
	return run_scenarios(argc, argv, scenarios);
}
