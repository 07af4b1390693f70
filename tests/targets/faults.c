/*
 * What may happen around a probe: faults MODE [THREADS].
 *   calls     threads call `hit`
 *   jumps     the same, with a handler that leaves by siglongjmp
 *   exits     threads that call `hit` ten times and end, in different ways, one after the other
 *   moves     threads that go from processor to processor while they call `hit`
 *   sleeps    threads call `calling`, whose first instruction calls something that sleeps
 *   straddles threads call functions at every byte of a cache line, and at the last four of a page
 *   libc      threads use malloc, memcpy, strlen and mutexes
 *   crash     `reader` is called with a bad pointer, which a handler of SIGSEGV puts right
 *   traps     runs into its own int3 and handles it; a blocked SIGTRAP is pending meanwhile
 *   full      all address space within 2 GB is taken
 * Work goes on while `go` is 1; `made` counts what was done, `wrong` what came out wrong.
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <ucontext.h>

volatile uint64_t go, made, wrong, working, busy, handled, seen_address, seen_rdi, seen_rip;

static void count(volatile uint64_t *what, uint64_t n)
{
	__atomic_add_fetch(what, n, __ATOMIC_RELAXED);
}

long hit(long a, long b);
long calling(long a);
long reader(long *p);
static long straddling(int n, long a);

__asm__(".text\n .p2align 6\n .globl hit\n .type hit, @function\n"
	"hit: push %rbp\n mov %rsp, %rbp\n lea (%rdi,%rsi,2), %rax\n pop %rbp\n ret\n"
	".size hit, . - hit\n .p2align 4, 0xcc\n"
	".globl calling\n .type calling, @function\n"
	"calling: call sleepy\n lea 1(%rax), %rax\n ret\n"
	".size calling, . - calling\n .p2align 4, 0xcc\n"
	".globl reader\n .type reader, @function\n"
	"reader: mov (%rdi), %rax\n lea (%rax,%rax), %rax\n mov 8(%rdi), %rcx\n add %rcx, %rax\n ret\n"
	".size reader, . - reader\n .p2align 4, 0xcc\n"
	/* straddle_0 to straddle_63: at bytes 0 to 63 of a cache line; straddle_64 to 67: at the last four bytes of a page. */
	" .set n, 0\n .altmacro\n"
	" .macro straddle m\n .globl straddle_\\m\n .type straddle_\\m, @function\n"
	" .if \\m < 64\n .p2align 7, 0xcc\n .fill \\m, 1, 0xcc\n .else\n .p2align 12, 0xcc\n .fill 4028 + \\m, 1, 0xcc\n .endif\n"
	" straddle_\\m: push %rbx\n push %rbp\n lea \\m(%rdi,%rdi), %rax\n pop %rbp\n pop %rbx\n ret\n"
	" .size straddle_\\m, . - straddle_\\m\n .endm\n"
	" .rept 68\n straddle %n\n .set n, n + 1\n .endr\n"
	" .data\n .p2align 3\n straddlers:\n .set n, 0\n .macro entry m\n .quad straddle_\\m\n .endm\n"
	" .rept 68\n entry %n\n .set n, n + 1\n .endr\n .text\n");

extern long (*const straddlers[68])(long);

static long straddling(int n, long a)
{
	return straddlers[n](a);
}

__attribute__((used)) long sleepy(long a)
{
	usleep(2000);
	return a * 3;
}

/* As a library asks for a variable of its own; the first module has some. */
extern void *__tls_get_addr(const uint64_t index[2]);
static __thread volatile long variable = 42;

static void *use_variable(void *unused)
{
	static const uint64_t index[2] = {1, 0};
	char *block = __tls_get_addr(index);
	count(&wrong, (char *)&variable < block || (char *)&variable > block + 4096 || variable != 42);
	return unused;
}

static const char *mode;

static int is(const char *name)
{
	return strcmp(mode, name) == 0;
}

static void one(long i)
{
	if (is("sleeps"))
		count(&wrong, calling(i) != i * 3 + 1);
	else if (is("straddles"))
		count(&wrong, straddling(i % 68, i) != i * 2 + i % 68);
	else if (is("libc")) {
		static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
		/* Sizes that the compiler does not know, so that it calls. */
		volatile unsigned long size = 64 + (i & 1023);
		char text[64];
		char *copy = malloc(size), *other = calloc(1, size);
		memset(text, 'x', size - (i & 1023) - 1);
		text[i & 63] = 0;
		memcpy(copy, text, size - (i & 1023));
		other = realloc(other, size + 4096);
		memmove(other + 1, copy, size - (i & 1023));
		pthread_mutex_lock(&mutex);
		count(&wrong, strlen(copy) != (unsigned long)(i & 63));
		count(&wrong, strchr(other + 1, 'x') != ((i & 63) ? other + 1 : 0));
		count(&wrong, other[0] != 0);
		pthread_mutex_unlock(&mutex);
		free(copy);
		free(other);
		/* The loader makes room for the thread's variables, and takes it back: its stack is not kept. */
		pthread_attr_t attributes;
		pthread_t thread;
		char *stack = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		pthread_attr_init(&attributes);
		pthread_attr_setstack(&attributes, stack, 65536);
		count(&wrong, pthread_create(&thread, &attributes, use_variable, 0) != 0);
		pthread_join(thread, 0);
		munmap(stack, 65536);
	} else
		count(&wrong, hit(i, 3) != i + 6);
}

static void *work(void *seed)
{
	for (uint64_t i = (uint64_t)(uintptr_t)seed << 32;; ) {
		while (go != 1)
			usleep(100);
		count(&working, 1);
		uint64_t n = 0;
		for (; go == 1; n++, i++) {
			if (is("moves") && n % 64 == 0) {
				cpu_set_t set;
				CPU_ZERO(&set);
				CPU_SET((n / 64) & 1, &set);
				sched_setaffinity(0, sizeof(set), &set);
			}
			one(i);
			count(&made, 1);
		}
		count(&working, -1);
	}
	return 0;
}

static sigjmp_buf back;

static void on_alarm(int signal)
{
	(void)signal;
	count(&handled, 1);
	siglongjmp(back, 1);
}

static void every(int which, int signal, void (*handler)(int), long microseconds)
{
	struct itimerval timer = {{0, microseconds}, {0, microseconds}};
	sigaction(signal, &(struct sigaction){.sa_handler = handler, .sa_flags = SA_RESTART}, 0);
	setitimer(which, &timer, 0);
}

static void *ends(void *way)
{
	for (int i = 0; i < 10; i++)
		count(&wrong, hit(i, 3) != i + 6);
	count(&made, 10);
	if (way == (void *)1)
		pthread_exit(0);
	if (way == (void *)2) {
		pthread_cancel(pthread_self());
		pthread_testcancel();
	}
	return 0;
}

static long good[2] = {20, 2};

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	(void)signal;
	seen_address = (uint64_t)info->si_addr;
	seen_rdi = registers[REG_RDI];
	seen_rip = registers[REG_RIP];
	registers[REG_RDI] = (greg_t)good;
	count(&handled, 1);
}

static void on_count(int signal)
{
	(void)signal;
	count(&handled, 1);
}

/* Takes every hole of the address space within 2 GB of our code, in pieces that halve. */
static void fill(void)
{
	uint64_t here = (uint64_t)(uintptr_t)hit & ~0xfffull;
	for (uint64_t size = 1ull << 31; size >= 4096; size /= 2)
		for (uint64_t at = here - (1ull << 31); at < here + (1ull << 31); at += size)
			mmap((void *)at, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
}

static void single(void)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTRAP);
	sigaction(SIGSEGV, &(struct sigaction){.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO}, 0);
	sigaction(SIGTRAP, &(struct sigaction){.sa_handler = on_count}, 0);
	for (uint64_t i = 0;; i++) {
		for (busy = 0; go != 1; busy = 0)
			usleep(100);
		busy = 1;
		if (is("crash"))
			count(&wrong, reader((long *)0x10) != 42);
		else if (is("traps")) {
			__asm__ volatile("int3");
			sigprocmask(SIG_BLOCK, &set, 0);
			raise(SIGTRAP);
			count(&wrong, hit(i, 3) != (long)i + 6);
			sigprocmask(SIG_UNBLOCK, &set, 0);
			count(&wrong, handled != 2 * (made + 1));
		} else if (is("exits")) {
			pthread_t thread;
			pthread_create(&thread, 0, ends, (void *)(i % 3));
			pthread_join(thread, 0);
		} else if (is("jumps")) {
			volatile long n = 0;
			static int timed;
			if (sigsetjmp(back, 1) == 0 && !timed++)
				every(ITIMER_REAL, SIGALRM, on_alarm, 1000);
			for (; go == 1; n++)
				count(&wrong, hit(n, 3) != n + 6);
			count(&made, n);
			continue;
		}
		if (!is("exits"))
			count(&made, 1);
	}
}

int main(int argc, char **argv)
{
	mode = argc > 1 ? argv[1] : "calls";
	int threads = argc > 2 ? atoi(argv[2]) : 0;
	if (is("full"))
		fill();
	pthread_t thread;
	for (long t = 0; t < threads; t++)
		pthread_create(&thread, 0, work, (void *)t);
	ready();
	if (threads == 0)
		single();
	for (;;)
		pause();
}
