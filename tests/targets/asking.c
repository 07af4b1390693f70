/* Three system calls in loops, measured by itself. Usage: asking CONTROL-FILE */
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

/* So few that most loops end before the processor is interrupted: the quietest of many counts. */
enum { CALLS = 1000 };

/* Picoseconds a call, of the quietest of `loops`; `calls` of each. The C library makes getppid and getuid without looking at anything first. */
struct control {
	volatile uint64_t go, done, getppid, read, getuid, calls, loops;
};

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e12 + time.tv_nsec * 1e3;
}

static void keep_least(double *least, double time)
{
	if (time < *least)
		*least = time;
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
		double least[3] = { 1e18, 1e18, 1e18 };
		for (uint64_t loop = control->loops; loop > 0; loop--) {
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
			double end = now();
			keep_least(&least[0], asked - begin);
			keep_least(&least[1], read_all - asked);
			keep_least(&least[2], end - read_all);
			control->calls += CALLS;
		}
		control->getppid = least[0] / CALLS;
		control->read = least[1] / CALLS;
		control->getuid = least[2] / CALLS;
		__atomic_fetch_add(&control->done, 1, __ATOMIC_SEQ_CST);
	}
}
