/*
 * Signals of every kind around a probed function: signals MODE [THREADS]
 *   profile   threads call `hit`, each interrupted 10,000 times a second by a handler that calls it too
 *   stacks    handlers on an alternate stack, and one that is not deferred and interrupts itself
 *   restarts  reads that wait, interrupted by handlers with SA_RESTART and without
 *   overflow  more real-time signals than may be pending
 *   bus       `reader` reads behind the end of a file; a handler puts it right
 *   dies      children in which `reader` faults and nobody handles it
 *   tracer    traces a child step by step through `hit`
 * Work goes on while `go` is 1; `made` counts what was done, `wrong` what came out wrong, `handled` signals.
 */
#define _GNU_SOURCE
#include "target.h"
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>

volatile uint64_t go, made, wrong, working, busy, handled, seen_address, seen_rdi;

static void count(volatile uint64_t *what, uint64_t n)
{
	__atomic_add_fetch(what, n, __ATOMIC_RELAXED);
}

long hit(long a, long b);
long reader(const long *p);

__asm__(".text\n .p2align 4, 0xcc\n .globl hit\n .type hit, @function\n"
	"hit: push %rbp\n mov %rsp, %rbp\n lea (%rdi,%rsi,2), %rax\n pop %rbp\n ret\n .size hit, . - hit\n"
	".p2align 4, 0xcc\n .globl reader\n .type reader, @function\n"
	"reader: mov (%rdi), %rax\n lea (%rax,%rax), %rax\n ret\n .size reader, . - reader\n .p2align 4, 0xcc\n");

static void call(long i)
{
	count(&wrong, hit(i, 3) != i + 6);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	sigaction(signal, &(struct sigaction){.sa_sigaction = handler, .sa_flags = flags | SA_SIGINFO}, 0);
}

static void every(long nanoseconds, int signal)
{
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = signal};
	struct itimerspec timer = {{0, nanoseconds}, {0, nanoseconds}};
	timer_t id;
	event._sigev_un._tid = (int)syscall(SYS_gettid);
	timer_create(CLOCK_MONOTONIC, &event, &id);
	timer_settime(id, 0, &timer, 0);
}

static void on_profile(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	if (go == 0)
		return;
	call(7);
	count(&made, 1);
	count(&handled, 1);
}

static void *profiled(void *seed)
{
	every(100000, SIGPROF);
	for (long i = (long)(intptr_t)seed << 32;;) {
		while (go != 1)
			usleep(1000);
		count(&working, 1);
		for (; go == 1; i++) {
			call(i);
			count(&made, 1);
		}
		count(&working, -1);
	}
	return 0;
}

static char alternate[65536];
static volatile int depth;

static void on_stacked(int signal, siginfo_t *info, void *context)
{
	char here;
	stack_t now;
	(void)signal, (void)info, (void)context;
	sigaltstack(0, &now);
	count(&wrong, &here < alternate || &here >= alternate + sizeof(alternate) || now.ss_flags != SS_ONSTACK);
	call(1);
	count(&handled, 1);
}

static void on_nested(int signal, siginfo_t *info, void *context)
{
	int level = ++depth;
	(void)info, (void)context;
	call(level);
	if (level < 4) {
		raise(signal);
		/* It was not deferred: all inner ones have run. */
		count(&wrong, depth != 4);
	}
	count(&handled, 1);
}

static void on_count(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)info, (void)context;
	call(2);
	count(&handled, 1);
}

static volatile int next_value;

static void on_queued(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	count(&wrong, info->si_value.sival_int != next_value++);
	count(&handled, 1);
}

static long good = 21;

static void on_fault(int signal, siginfo_t *info, void *context)
{
	greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
	count(&wrong, signal != SIGBUS);
	seen_address = (uint64_t)info->si_addr;
	seen_rdi = registers[REG_RDI];
	registers[REG_RDI] = (greg_t)&good;
	count(&handled, 1);
}

static void stacks(void)
{
	raise(SIGUSR1);
	depth = 0;
	raise(SIGUSR2);
	count(&made, 5);
	count(&wrong, handled != made);
}

static int ends[2];

static void *writer(void *unused)
{
	for (;;) {
		usleep(3000);
		if (write(ends[1], "x", 1) != 1)
			return unused;
	}
}

static void restarts(long i)
{
	char byte;
	/* One with the flag and one without, in turns. */
	handle(SIGALRM, on_count, i & 1 ? SA_RESTART : 0);
	uint64_t before = handled;
	long result = read(ends[0], &byte, 1);
	if (result < 0)
		count(&wrong, errno != EINTR || (i & 1) || handled == before);
	else
		count(&wrong, result != 1);
	call(i);
	count(&made, 1);
}

static void overflow(void)
{
	sigset_t set;
	int accepted = 0;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, 0);
	for (int n = 0; n < 64; n++) {
		if (sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = accepted}) == 0)
			accepted++;
		else
			count(&wrong, errno != EAGAIN);
	}
	call(accepted);
	uint64_t before = handled;
	next_value = 0;
	sigprocmask(SIG_UNBLOCK, &set, 0);
	count(&wrong, accepted > 16 || handled - before != (uint64_t)accepted);
	count(&made, 1);
}

static void dies(void)
{
	int status = 0;
	pid_t child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		_exit((int)reader((const long *)0x10));
	}
	waitpid(child, &status, 0);
	count(&wrong, !WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV);
	count(&made, 1);
}

static void tracer(long i)
{
	int status = 0, steps = 0;
	pid_t child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		_exit(hit(i & 15, 3) == (i & 15) + 6 ? 42 : 1);
	}
	while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
		count(&wrong, WSTOPSIG(status) != (steps == 0 ? SIGSTOP : SIGTRAP));
		ptrace(PTRACE_SINGLESTEP, child, 0, 0);
		steps++;
	}
	count(&wrong, !WIFEXITED(status) || WEXITSTATUS(status) != 42 || steps < 10);
	count(&made, 1);
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "profile";
	int threads = argc > 2 ? atoi(argv[2]) : 0;
	const long *behind = 0;
	sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof(alternate)}, 0);
	handle(SIGPROF, on_profile, SA_RESTART);
	handle(SIGUSR1, on_stacked, SA_ONSTACK);
	handle(SIGUSR2, on_nested, SA_NODEFER);
	handle(SIGRTMIN, on_queued, 0);
	handle(SIGBUS, on_fault, 0);
	if (!strcmp(mode, "overflow"))
		setrlimit(RLIMIT_SIGPENDING, &(struct rlimit){16, 16});
	if (!strcmp(mode, "bus"))
		behind = mmap(0, 4096, PROT_READ, MAP_SHARED, memfd_create("empty", 0), 0);
	pthread_t thread;
	for (long t = 0; t < threads; t++)
		pthread_create(&thread, 0, profiled, (void *)t);
	if (!strcmp(mode, "restarts")) {
		if (pipe(ends))
			return 1;
		handle(SIGALRM, on_count, SA_RESTART);
		sigset_t set;
		sigemptyset(&set);
		sigaddset(&set, SIGALRM);
		sigprocmask(SIG_BLOCK, &set, 0);
		pthread_create(&thread, 0, writer, 0);
		sigprocmask(SIG_UNBLOCK, &set, 0);
	}
	ready();
	for (int timed = 0;;) {
		for (busy = 0; go != 1;)
			usleep(1000);
		busy = 1;
		if (!strcmp(mode, "restarts") && !timed++)
			every(1000000, SIGALRM);
		for (long i = 0; go == 1; i++) {
			if (!strcmp(mode, "stacks"))
				stacks();
			else if (!strcmp(mode, "restarts"))
				restarts(i);
			else if (!strcmp(mode, "overflow"))
				overflow();
			else if (!strcmp(mode, "bus")) {
				count(&wrong, reader(behind) != 42);
				count(&made, 1);
			} else if (!strcmp(mode, "dies"))
				dies();
			else if (!strcmp(mode, "tracer"))
				tracer(i);
			else
				usleep(1000);
		}
	}
}
