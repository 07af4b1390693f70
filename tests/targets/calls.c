/*
 * Threads that call a function and check what it returns. Usage: calls CONTROL-FILE THREADS
 *
 * The control file is mapped by the test too. A thread makes `calls` calls for every step of `go`, then adds one to
 * `done`; with `calls` = 0 it calls without end until `go` steps again. Every wrong result is counted.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target.h"

struct control {
	_Atomic uint64_t go, calls, done, wrong, total, begun;
};

static struct control *control;

/* Several shapes of entry: a short leaf with padding behind it, pushes, nops, an endbr64. */
__attribute__((noipa)) long work(long a, long b)
{
	return a * 2 + b;
}

__attribute__((noipa)) long twice(long a)
{
	return a + a;
}

__attribute__((noipa)) long work_push(long a, long b)
{
	return twice(a) + a + b;
}

__attribute__((noipa, patchable_function_entry(5, 0))) long work_nops(long a, long b)
{
	return a * 5 + b;
}

long work_keyed(long key, long b);
__asm__(".globl work_keyed\n"
	".type work_keyed, @function\n"
	"work_keyed:\n"
	"	endbr64\n"
	"	mov %rdi, %rax\n"
	"	xor %rsi, %rax\n"
	"	ret\n"
	".size work_keyed, . - work_keyed\n");

/* Three bytes, with no padding behind it but near it. */
long work_brief(long a);
__asm__(".p2align 4\n"
	".globl work_brief\n"
	".type work_brief, @function\n"
	"work_brief:\n"
	"	mov %edi, %eax\n"
	"	ret\n"
	".size work_brief, . - work_brief\n"
	".type work_beside, @function\n"
	"work_beside:\n"
	"	lea 2(%rdi), %rax\n"
	"	xchg %ax, %ax\n"
	"	ret\n"
	".size work_beside, . - work_beside\n"
	".p2align 4\n");

static void *caller(void *seed)
{
	uint64_t seen = 0;
	uint64_t i = (uint64_t)(uintptr_t)seed << 32;
	for (;;) {
		uint64_t go;
		while ((go = atomic_load(&control->go)) == seen)
			usleep(200);
		seen = go;
		uint64_t calls = atomic_load(&control->calls);
		atomic_fetch_add(&control->begun, 1);
		uint64_t made = 0, wrong = 0;
		while (calls ? made < calls : atomic_load_explicit(&control->go, memory_order_relaxed) == seen) {
			long a = (long)i++, b = (long)(i & 0xff);
			wrong += work(a, b) != a * 2 + b;
			wrong += work_push(a, b) != a * 3 + b;
			wrong += work_nops(a, b) != a * 5 + b;
			wrong += work_keyed(b & 63, a) != ((b & 63) ^ a);
			wrong += work_brief(a) != (a & 0xffffffff);
			made++;
		}
		atomic_fetch_add(&control->wrong, wrong);
		atomic_fetch_add(&control->total, made);
		atomic_fetch_add(&control->done, 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	int fd = open(argv[1], O_RDWR);
	control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED)
		return 1;
	close(fd);
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * 1024);
	for (long t = 0, n = atol(argv[2]); t < n; t++) {
		pthread_t thread;
		if (pthread_create(&thread, &attr, caller, (void *)t))
			return 1;
	}
	ready();
	for (;;)
		pause();
}
