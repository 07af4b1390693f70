/*
 * Calls on stacks with little room: stacks MODE
 *   deep     `hit` on a stack of 16 KB that is painted first; `depth` says how far below its return address it was used
 *   alternate  in a signal handler that has 2 KB for itself
 *   context  in a makecontext(3) of 4 KB
 *   guard    in a thread that has 1 KB left above its guard page
 * Work goes on while `go` is 1; `made` counts calls, `wrong` what came out wrong.
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <ucontext.h>

volatile uint64_t go, made, wrong, working, busy, depth;

long hit(long a, long b);
long on_stack(void *top, long a, long b);

__asm__(".text\n .p2align 4, 0xcc\n .globl hit\n .type hit, @function\n"
	"hit: lea (%rdi,%rsi), %rax\n nopl 0(%rax)\n ret\n .size hit, . - hit\n .p2align 4, 0xcc\n"
	".globl on_stack\n .type on_stack, @function\n"
	"on_stack: push %rbp\n mov %rsp, %rbp\n mov %rdi, %rsp\n mov %rsi, %rdi\n mov %rdx, %rsi\n"
	" call hit\n mov %rbp, %rsp\n pop %rbp\n ret\n .size on_stack, . - on_stack\n");

static void call(long i)
{
	wrong += hit(i, 3) != i + 3;
	made++;
}

/* What lies in front is not to be touched: a page that nobody may write. */
static char *guarded(unsigned long size)
{
	char *memory = mmap(0, 4096 + size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mprotect(memory, 4096, PROT_NONE);
	return memory + 4096;
}

static void deep(long i)
{
	enum { SIZE = 16384 };
	static char *memory;
	if (!memory)
		memory = guarded(SIZE);
	memset(memory, 0xa5, SIZE);
	wrong += on_stack(memory + SIZE, i, 3) != i + 3;
	made++;
	unsigned long n = 0;
	while (n < SIZE && memory[n] == (char)0xa5)
		n++;
	/* The return address lies at the top. */
	if (SIZE - n - 8 > depth)
		depth = SIZE - n - 8;
}

static volatile long argument;

static void on_signal(int signal)
{
	(void)signal;
	call(argument);
}

static void alternate(long i)
{
	static int is_ready;
	if (!is_ready++) {
		/* A frame of the kernel's, rounded up, and 2 KB for the handler. */
		unsigned long size = (getauxval(AT_MINSIGSTKSZ) + 2048 + 4095) / 4096 * 4096;
		unsigned long used = getauxval(AT_MINSIGSTKSZ) + 2048;
		sigaltstack(&(stack_t){.ss_sp = guarded(size), .ss_size = used}, 0);
		sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal, .sa_flags = SA_ONSTACK}, 0);
	}
	argument = i;
	raise(SIGUSR1);
}

static ucontext_t outside, inside;

static void in_context(void)
{
	call(argument);
}

static void context(long i)
{
	static char *memory;
	if (!memory)
		memory = guarded(4096);
	argument = i;
	getcontext(&inside);
	inside.uc_stack.ss_sp = memory;
	inside.uc_stack.ss_size = 4096;
	inside.uc_link = &outside;
	makecontext(&inside, in_context, 0);
	swapcontext(&outside, &inside);
}

/* Takes the stack down to 1 KB above `floor`. */
__attribute__((noinline)) static void sink(char *floor, long i)
{
	char *here = __builtin_frame_address(0);
	char *room = __builtin_alloca((unsigned long)(here - floor) - 1024 - 256);
	__asm__ volatile("" : : "r"(room) : "memory");
	call(i);
	__asm__ volatile("" : : "r"(room) : "memory");
}

static void work(const char *mode, char *floor)
{
	for (long i = 0;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		for (; go == 1; i++) {
			if (!strcmp(mode, "deep"))
				deep(i);
			else if (!strcmp(mode, "alternate"))
				alternate(i);
			else if (!strcmp(mode, "context"))
				context(i);
			else
				sink(floor, i);
		}
	}
}

static const char *mode;

static void *thread(void *floor)
{
	work(mode, floor);
	return 0;
}

int main(int argc, char **argv)
{
	mode = argc > 1 ? argv[1] : "deep";
	ready();
	if (!strcmp(mode, "guard")) {
		enum { SIZE = 65536 };
		pthread_attr_t attributes;
		pthread_t id;
		char *floor = guarded(SIZE);
		pthread_attr_init(&attributes);
		pthread_attr_setstack(&attributes, floor, SIZE);
		pthread_create(&id, &attributes, thread, floor);
		pthread_join(id, 0);
	}
	work(mode, 0);
}
