/*
 * Passes pointers of every kind to `touch`, which does not follow them: reads KIND, see `pointer_of`. Of `vanishing` a second
 * thread maps and unmaps the page meanwhile. Work goes on while `go` is 1; `made` counts calls, `handled` signals that came.
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

volatile uint64_t go, made, wrong, working, busy, handled;

long touch(const void *pointer, uint64_t expected);
long on_stack(void *top, const void *pointer, uint64_t expected);

__asm__(".text\n .p2align 4, 0xcc\n .globl touch\n .type touch, @function\n"
	"touch: lea 1(%rsi), %rax\n nopl 0(%rax)\n ret\n .size touch, . - touch\n .p2align 4, 0xcc\n"
	".globl on_stack\n .type on_stack, @function\n"
	"on_stack: push %rbp\n mov %rsp, %rbp\n mov %rdi, %rsp\n mov %rsi, %rdi\n mov %rdx, %rsi\n"
	" call touch\n mov %rbp, %rsp\n pop %rbp\n ret\n .size on_stack, . - on_stack\n");

#define WORD 0x5a5a5a5a5a5a5a5aull

static const volatile uint64_t constant = WORD;
static volatile uint64_t variable = WORD;

enum { PAGE = 4096 };
/* Two pages that may be used, then one that may not, then nothing. */
static char *pages;
static const char *kind;

static int is(const char *name)
{
	return strcmp(kind, name) == 0;
}

static const void *pointer_of(void)
{
	if (is("good"))
		return pages;
	if (is("last"))
		return pages + 2 * PAGE - 8;
	if (is("across"))
		return pages + 2 * PAGE - 4;
	if (is("constant"))
		return (const void *)&constant;
	if (is("variable"))
		return (const void *)&variable;
	if (is("stack"))
		return pages + 2 * PAGE - 64;
	if (is("none"))
		return pages + 2 * PAGE;
	if (is("unmapped"))
		return pages + 3 * PAGE;
	if (is("vanishing"))
		return pages + 4 * PAGE;
	return (const void *)strtoull(kind, 0, 0);
}

static void *vanish(void *page)
{
	for (;;) {
		mmap(page, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		mprotect(page, PAGE, PROT_NONE);
		mprotect(page, PAGE, PROT_READ);
		munmap(page, PAGE);
	}
	return 0;
}

static void on_fault(int signal)
{
	(void)signal;
	handled++;
	_exit(3);
}

int main(int argc, char **argv)
{
	kind = argc > 1 ? argv[1] : "good";
	pages = mmap(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memset(pages, 0x5a, 2 * PAGE);
	mprotect(pages + 2 * PAGE, PAGE, PROT_NONE);
	munmap(pages + 3 * PAGE, 5 * PAGE);
	signal(SIGSEGV, on_fault);
	signal(SIGBUS, on_fault);
	const void *pointer = pointer_of();
	uint64_t expected = is("vanishing") ? 0 : WORD;
	pthread_t thread;
	if (is("vanishing"))
		pthread_create(&thread, 0, vanish, (void *)pointer);
	ready();
	for (;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		for (; go == 1; made++) {
			/* On a stack in the page that the pointer leads out of, or to. */
			if (is("across") || is("stack"))
				wrong += on_stack(pages + 2 * PAGE - 128, pointer, expected) != (long)expected + 1;
			wrong += touch(pointer, expected) != (long)expected + 1;
		}
	}
}
