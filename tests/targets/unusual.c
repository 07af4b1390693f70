/*
 * Programs whose code lies where code seldom does: unusual MODE [FILE].
 *   pages     all that is called
 *   jit       calls code that it writes into memory which is writable and executable
 *   shared    calls code of FILE, which it maps shared; ADDRESS of `plugin_work` in it is the third argument
 *   huge      has moved the page of `hit` to memory without a file, as programs do that want huge pages
 *   tls       calls with a thread pointer of its own, and changes it in the middle of a call
 * While `go` is 1 it calls; `made` counts calls of `hit`, `wrong` what came out wrong.
 */
#define _GNU_SOURCE
#include "target.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

volatile uint64_t go, made, wrong, busy;

/* On a page of its own, long enough for a jump. */
__attribute__((noipa, aligned(4096))) long hit(long a)
{
	volatile long b = a * 3;
	return b + 1;
}

__attribute__((noipa, aligned(4096))) void behind(void)
{
}

static long set_pointer(void *to)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(158L), "D"(0x1002L), "S"(to) : "rcx", "r11", "memory");
	return result;
}

static void *own_pointer(void)
{
	void *pointer;
	__asm__ volatile("mov %%fs:0, %0" : "=r"(pointer));
	return pointer;
}

static char *other;

/* Is entered with one thread pointer and left with another. */
__attribute__((noipa, optimize("no-stack-protector"))) long switching(long a, void *to)
{
	volatile long b = a * 5;
	set_pointer(to);
	return b + 1;
}

static long (*called)(long) = hit;

__attribute__((optimize("no-stack-protector"))) static void one(long i, const char *mode)
{
	if (!strcmp(mode, "tls")) {
		void *own = own_pointer();
		long results[3];
		results[0] = switching(i, other);
		results[1] = hit(i);
		results[2] = switching(i, own);
		wrong += results[0] != i * 5 + 1 || results[1] != i * 3 + 1 || results[2] != i * 5 + 1;
	} else
		wrong += called(i) != (!strcmp(mode, "shared") ? i * 2 + 1 : i * 3 + 1);
	made++;
}

static void prepare(int argc, char **argv)
{
	const char *mode = argv[1];
	if (!strcmp(mode, "jit")) {
		/* lea 1(%rdi,%rdi,2), %rax; ret; and room for what is never to be there */
		static const unsigned char code[] = {0x48, 0x8d, 0x44, 0x7f, 0x01, 0xc3};
		void *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(page, code, sizeof(code));
		called = (long (*)(long))page;
	} else if (!strcmp(mode, "shared") && argc > 3) {
		int fd = open(argv[2], O_RDONLY);
		char *file = mmap(0, 1 << 16, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
		close(fd);
		called = (long (*)(long))(file + strtol(argv[3], 0, 0));
	} else if (!strcmp(mode, "huge")) {
		char *start = (char *)(uintptr_t)hit;
		char *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		memcpy(page, start, 4096);
		mprotect(page, 4096, PROT_READ | PROT_EXEC);
		mremap(page, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, start);
	} else if (!strcmp(mode, "tls")) {
		/* What lies around the thread pointer, moved. */
		char *own = own_pointer();
		static char block[8192] __attribute__((aligned(64)));
		memcpy(block, own - 1024, 1024 + 2048);
		other = block + 1024;
		*(char **)other = other;
		*(char **)(other + 16) = other;
	}
}

int main(int argc, char **argv)
{
	prepare(argc, argv);
	ready();
	for (long i = 0;; i++) {
		for (busy = 0; go != 1; busy = 0)
			usleep(200);
		busy = 1;
		for (int n = 0; n < 100; n++, i++)
			one(i, argv[1]);
	}
}
