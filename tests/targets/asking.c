/* Three system calls in loops, measured by itself. Usage: asking CONTROL-FILE */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

enum { CALLS = 20000 };

/* Picoseconds a call; `calls` of each. The C library makes getppid and getuid without looking at anything first. */
struct control {
	volatile uint64_t go, done, getppid, read, getuid, calls;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e12 + time.tv_nsec * 1e3;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1, nothing = open("/dev/null", O_RDONLY);
	char byte;
	struct control *control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (control == MAP_FAILED || nothing < 0)
		return 1;
	ready();
	for (uint64_t seen = 0;; seen++) {
		while (control->go == seen)
			usleep(100);
		double begin = now();
		for (int i = 0; i < CALLS; i++)
			getppid();
		double asked = now();
		for (int i = 0; i < CALLS; i++)
			if (read(nothing, &byte, 1))
				return 1;
		double read_all = now();
		for (int i = 0; i < CALLS; i++)
			getuid();
		control->getppid = (asked - begin) / CALLS;
		control->read = (read_all - asked) / CALLS;
		control->getuid = (now() - read_all) / CALLS;
		control->calls += CALLS;
		__atomic_fetch_add(&control->done, 1, __ATOMIC_SEQ_CST);
	}
}
