/*
 * Makes calls that a test has fail, and says what came back of each. A step of `go` makes TRIES calls of one kind; of kind
 * 3, four threads make a thousand each.
 * Usage: failing CONTROL-FILE
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "target.h"

#define TRIES 20

struct control {
	volatile uint64_t go, done, kind, failed, results[TRIES];
};

static struct control *control;

__attribute__((noipa)) long answer(long question)
{
	return question + 1;
}

/* The error number, or 0. */
static int open_something(void)
{
	int fd = open("/dev/null", O_RDONLY);

	if (fd < 0)
		return errno;
	close(fd);
	return 0;
}

static void *ask_often(void *unused)
{
	for (int i = 0; i < 1000; i++)
		if (syscall(SYS_getppid) == -1 && errno == EAGAIN)
			__atomic_fetch_add(&control->failed, 1, __ATOMIC_RELAXED);
	return unused;
}

static void ask_in_threads(void)
{
	pthread_t threads[4];

	for (int t = 0; t < 4; t++)
		pthread_create(&threads[t], 0, ask_often, 0);
	for (int t = 0; t < 4; t++)
		pthread_join(threads[t], 0);
}

/* What came back, as 64 bits. */
static uint64_t one(uint64_t kind)
{
	switch (kind) {
	case 0:
		return open_something();
	case 1:
		return syscall(SYS_getppid) == -1 ? errno : 0;
	default:
		return answer(41);
	}
}

int main(int argc, char **argv)
{
	if (argc != 2)
		return 2;
	int fd = open(argv[1], O_RDWR);
	control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || control == MAP_FAILED)
		return 1;
	ready();
	for (uint64_t seen = 0;; seen++) {
		while (control->go == seen)
			usleep(100);
		if (control->kind == 3)
			ask_in_threads();
		for (int i = 0; control->kind != 3 && i < TRIES; i++)
			control->results[i] = one(control->kind);
		control->done++;
	}
}
