/*
 * What the returning targets share: a scenario is run when the test says so, and says how many probed calls it made and
 * what came out wrong. Usage: TARGET CONTROL-FILE SCENARIO
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "target.h"

struct control {
	volatile uint64_t go, done, wrong, calls;
};

static struct control *control;

struct scenario {
	const char *name;
	void (*run)(void);
};

static void count_call(void)
{
	__atomic_fetch_add(&control->calls, 1, __ATOMIC_RELAXED);
}

static void check(int right)
{
	if (!right)
		__atomic_fetch_add(&control->wrong, 1, __ATOMIC_RELAXED);
}

static int run_scenarios(int argc, char **argv, const struct scenario *scenarios)
{
	if (argc != 3)
		return 2;
	int fd = open(argv[1], O_RDWR);
	control = (struct control *)mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED)
		return 1;
	while (scenarios->name && strcmp(scenarios->name, argv[2]))
		scenarios++;
	if (!scenarios->name)
		return 2;
	ready();
	for (uint64_t seen = 0;; seen++) {
		while (control->go == seen)
			usleep(200);
		scenarios->run();
		__atomic_fetch_add(&control->done, 1, __ATOMIC_SEQ_CST);
	}
}
