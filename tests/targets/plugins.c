/*
 * Loads and unloads libraries: plugins MODE LIBRARY...
 *   loop     one library after the other is loaded, used and unloaded, while `go` is 1
 *   moving   the same; each time something else is mapped where the last one was
 *   swap     loads the first when `go` becomes 1; when it becomes 2, unloads it and puts other memory of ours in its place, at which
 *            `wrong` looks from then on
 *   threads  four threads do as `loop` does, each with a library of its own
 *   run ROUNDS  as `loop`, so many rounds, then ends: 0 if all was right
 * `loads` counts what was loaded, `wrong` what came out wrong.
 */
#define _GNU_SOURCE
#include "target.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

volatile uint64_t go, loads, wrong, busy;

static int is_moving, count;
static char **libraries;

static void count_up(volatile uint64_t *what)
{
	__atomic_add_fetch(what, 1, __ATOMIC_RELAXED);
}

static void *load(const char *path)
{
	void *library = dlopen(path, RTLD_NOW);
	long (*run)(long) = library ? (long (*)(long))dlsym(library, "plugin_run") : 0;
	if (!run || run(5) == 0)
		count_up(&wrong);
	count_up(&loads);
	return library;
}

static void use(const char *path)
{
	void *library = load(path);
	if (library)
		dlclose(library);
	if (is_moving) {
		/* The next one finds the place taken, the one behind it finds it free. */
		static void *taken;
		if (taken)
			munmap(taken, 65536);
		taken = taken ? 0 : mmap(0, 65536, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}

static void *work(void *own)
{
	for (long i = 0;; i++) {
		while (go != 1)
			usleep(200);
		count_up(&busy);
		while (go == 1)
			use(libraries[own ? (long)own - 1 : i++ % count]);
		__atomic_add_fetch(&busy, -1, __ATOMIC_RELAXED);
	}
	return 0;
}

/* Where the library was lies memory of ours, that nobody else has a right to change. */
static void swap(const char *path)
{
	while (go != 1)
		usleep(200);
	void *library = load(path);
	uint64_t place = (uint64_t)(uintptr_t)dlsym(library, "plugin_work") & ~4095ull;
	while (go != 2)
		usleep(200);
	dlclose(library);
	static unsigned char copy[4096];
	memset(copy, 0x90, sizeof(copy));
	void *own = mmap((void *)(uintptr_t)place, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (own != (void *)(uintptr_t)place)
		count_up(&wrong);
	memcpy(own, copy, sizeof(copy));
	count_up(&loads);
	for (;; usleep(200))
		if (memcmp(own, copy, sizeof(copy)))
			count_up(&wrong);
}

int main(int argc, char **argv)
{
	const char *mode = argv[1];
	libraries = argv + 2;
	count = argc - 2;
	is_moving = !strcmp(mode, "moving");
	if (!strcmp(mode, "run")) {
		for (int i = 0; i < atoi(argv[2]); i++)
			use(argv[3 + i % (argc - 3)]);
		return wrong != 0;
	}
	pthread_t thread;
	if (!strcmp(mode, "threads"))
		for (long t = 1; t <= count; t++)
			pthread_create(&thread, 0, work, (void *)t);
	else if (strcmp(mode, "swap"))
		pthread_create(&thread, 0, work, 0);
	ready();
	if (!strcmp(mode, "swap"))
		swap(libraries[0]);
	for (;;)
		pause();
}
