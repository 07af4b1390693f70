/*
 * One thread that calls functions whose first instructions are short, to be stopped at each of them. Usage: stepped [altstack]
 *
 * Work goes on while `go` is 1, with `argument`. SIGUSR1's handler calls `frame`, SIGUSR2 leaves its handler by siglongjmp, SIGURG's
 * handler waits until `release` is 1, with as many bytes of stack in use as `deep` says.
 */
#include "target.h"
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

volatile uint64_t go, busy, made, begun, wrong, handled, handling, release, deep;
volatile long argument;

/* Each returns 2a + 1. */
long pushes(long a), frame(long a), branded(long a), brief(long a), nested(long a);

#define FUNCTION(name, text)                                                                                         \
	__asm__(".text\n .p2align 4, 0xcc\n .globl " #name "\n .type " #name ", @function\n" #name ": " text             \
		"\n .size " #name ", . - " #name "\n .p2align 4, 0xcc\n");

FUNCTION(pushes, "push %rbx\n push %rbp\n push %rsi\n push %rdi\n push %rdx\n lea 1(%rdi,%rdi), %rax\n"
		 " pop %rdx\n pop %rdi\n pop %rsi\n pop %rbp\n pop %rbx\n ret")
FUNCTION(frame, "push %rbp\n mov %rsp, %rbp\n lea 1(%rdi,%rdi), %rax\n pop %rbp\n ret")
FUNCTION(branded, "endbr64\n push %rbx\n push %rbp\n mov %rdi, %rbx\n lea 1(%rbx,%rbx), %rax\n pop %rbp\n pop %rbx\n ret")
/* A branch leads to its third byte: a short jump is all that fits. */
FUNCTION(brief, "push %rdi\n pop %rax\n 1: lea 1(%rax,%rdi), %rax\n test %rsp, %rsp\n jz 1b\n ret\n"
		" .size brief, . - brief\n .skip 16, 0xcc")
/* What it calls returns to the end of what a jump replaces. */
FUNCTION(nested, "push %rbx\n call half\n lea 1(%rax,%rax), %rax\n pop %rbx\n ret")
FUNCTION(half, "mov %rdi, %rax\n nop\n ret")

static long (*volatile const functions[])(long) = {pushes, frame, branded, brief, nested};

static sigjmp_buf back;

static void on_call(int signal)
{
	(void)signal;
	begun++;
	wrong += frame(argument) != 2 * argument + 1;
	handled++;
}

static void on_jump(int signal)
{
	(void)signal;
	handled++;
	siglongjmp(back, 1);
}

static void on_wait(int signal)
{
	(void)signal;
	char *room = __builtin_alloca(deep + 16);
	memset(room, 0x5a, deep + 16);
	for (handling = 1; release != 1;)
		__asm__ volatile("" : : "r"(room) : "memory");
	handling = 0;
	handled++;
}

int main(int argc, char **argv)
{
	(void)argv;
	int flags = argc > 1 ? SA_ONSTACK : 0;
	sigaltstack(&(stack_t){.ss_sp = malloc(262144), .ss_size = 262144}, 0);
	sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_call, .sa_flags = flags}, 0);
	sigaction(SIGUSR2, &(struct sigaction){.sa_handler = on_jump, .sa_flags = flags}, 0);
	sigaction(SIGURG, &(struct sigaction){.sa_handler = on_wait, .sa_flags = flags}, 0);
	ready();
	for (;;) {
		for (busy = 0; go != 1;)
			usleep(100);
		busy = 1;
		sigsetjmp(back, 1);
		while (go == 1) {
			for (unsigned long n = 0; n < sizeof(functions) / sizeof(*functions); n++) {
				begun += functions[n] == frame;
				wrong += functions[n](argument) != 2 * argument + 1;
			}
			made++;
		}
	}
}
