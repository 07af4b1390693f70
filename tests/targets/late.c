/*
 * Code with a system call that comes when the program runs already: late MODE FILE ADDRESS.
 *   loaded    FILE is loaded as a library
 *   mapped    FILE is mapped to be read, and made executable behind that
 *   written   the code is written into memory
 * When `go` becomes 1 the code is there, which `there` tells; at 2 it is called 100 times, counted in `made`; at 3 it goes. Compiled with
 * -DLIBRARY it is FILE, and ADDRESS that of `late_call` in it.
 */
#ifdef LIBRARY
/* mov $SYS_getpid, %eax; syscall; and room beside them */
__asm__(".text\n .p2align 4\n .globl late_call\n .type late_call, @function\n"
	"late_call: push %rbx\n mov %rdi, %rbx\n mov $39, %eax\n syscall\n mov %rbx, %rdi\n pop %rbx\n ret\n"
	".size late_call, . - late_call\n .p2align 4\n");
#else
#define _GNU_SOURCE
#include "target.h"
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

volatile uint64_t go, there, made, wrong;

static const unsigned char written[] = {0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3};
static void *library;
static char *memory;

static long (*appear(const char *mode, const char *file, long address))(void)
{
	if (!strcmp(mode, "loaded")) {
		library = dlopen(file, RTLD_NOW);
		return (long (*)(void))dlsym(library, "late_call");
	}
	if (!strcmp(mode, "mapped")) {
		int fd = open(file, O_RDONLY);
		memory = mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE, fd, 0);
		close(fd);
		mprotect(memory, 1 << 16, PROT_READ | PROT_EXEC);
		return (long (*)(void))(memory + address);
	}
	memory = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	memcpy(memory, written, sizeof(written));
	mprotect(memory, 1 << 16, PROT_READ | PROT_EXEC);
	return (long (*)(void))memory;
}

static void await(uint64_t step)
{
	while (go != step)
		usleep(200);
}

int main(int argc, char **argv)
{
	(void)argc;
	long own = getpid();
	ready();
	for (;;) {
		await(1);
		long (*call)(void) = appear(argv[1], argv[2], strtol(argv[3], 0, 0));
		there = 1;
		await(2);
		for (int i = 0; i < 100; i++, made++)
			if (call() != own)
				wrong++;
		await(3);
		if (library)
			dlclose(library);
		else
			munmap(memory, 1 << 16);
		library = 0;
		there = 0;
	}
}
#endif
