/*
 * System calls whose arguments programs change: see returning.h and syscall-arguments.bpf.c. Each scenario counts the calls that
 * went as only changed arguments have them go; without programs none do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "returning.h"

/* Programs lead those who ask for the first to the second, by its distance. */
struct pair {
	char asked[32], meant[32];
};

static const struct pair device = { "/remora/none", "/dev/null" };
static const struct pair command = { "/remora/true", "/bin/true" };

/* The call in the text itself: the compiler counts on its registers behind it. */
static long open_here(const char *path)
{
	register long mode asm("r10") = 0;
	register long more asm("r8") = 0x5555, most asm("r9") = 0x6666;
	long result = SYS_openat, folder = AT_FDCWD, flags = O_RDONLY;
	const char *asked = path;

	asm volatile("syscall" : "+a"(result), "+D"(folder), "+S"(asked), "+d"(flags), "+r"(mode), "+r"(more), "+r"(most)::"rcx", "r11", "memory");
	check(asked == path && folder == AT_FDCWD && flags == O_RDONLY && !mode && more == 0x5555 && most == 0x6666);
	return result;
}

static void expect_changed(long descriptor, long error)
{
	if (descriptor >= 0) {
		count_call();
		check(close(descriptor) == 0);
	} else
		check(error == ENOENT);
}

static void *open_all(void *unused)
{
	for (int i = 0; i < 100; i++) {
		long descriptor = open_here(device.asked);

		expect_changed(descriptor, -descriptor);
		descriptor = open(device.asked, O_RDONLY);
		expect_changed(descriptor, errno);
		descriptor = syscall(SYS_openat, AT_FDCWD, device.asked, O_RDONLY, 0);
		expect_changed(descriptor, errno);
		descriptor = open("/dev/zero", O_RDONLY);
		check(descriptor >= 0 && close(descriptor) == 0);
		check(syscall(SYS_openat, AT_FDCWD, "/remora", O_RDONLY, 0) == -1 && errno == ENOENT);
	}
	return unused;
}

static void paths(void)
{
	open_all(0);
}

static void threads(void)
{
	pthread_t other;

	pthread_create(&other, 0, open_all, 0);
	open_all(0);
	pthread_join(other, 0);
}

static int pipes[2];

static void lengths(void)
{
	char text[77] = "a line that is cut short", got[100];

	check(pipe(pipes) == 0);
	for (int i = 0; i < 50; i++) {
		long written = i % 2 ? write(pipes[1], text, 77) : syscall(SYS_write, pipes[1], text, 77);

		check(written == 77 || written == 5);
		check(read(pipes[0], got, 100) == written && memcmp(got, text, written) == 0);
		if (written == 5)
			count_call();
	}
	close(pipes[0]);
	close(pipes[1]);
}

/* The offset alone has it refused. */
static long map_here(long *meant)
{
	register long flags asm("r10") = 3, file asm("r8") = 4, offset asm("r9") = 77;
	long result = SYS_mmap, size = 1, protection = 2, *asked = meant;

	asm volatile("syscall" : "+a"(result), "+D"(asked), "+S"(size), "+d"(protection), "+r"(flags), "+r"(file), "+r"(offset)::"rcx", "r11", "memory");
	check(asked == meant && size == 1 && protection == 2 && flags == 3 && file == 4 && offset == 77);
	return result;
}

/* A second page of a file, where there is nothing yet, for reading. */
static void all(void)
{
	static long meant[6];
	char file[] = "/tmp/remora-XXXXXX";
	int descriptor = mkstemp(file);
	char *place = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	check(descriptor >= 0 && place != MAP_FAILED && ftruncate(descriptor, 8192) == 0);
	check(pwrite(descriptor, "second", 6, 4096) == 6);
	munmap(place, 4096);
	long all[6] = { (long)place, 4096, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE, descriptor, 4096 };
	memcpy(meant, all, sizeof(meant));
	for (int known = 0; known < 2; known++) {
		long result = known ? map_here(meant) : syscall(SYS_mmap, meant, 1, 2, 3, 4, 77);

		if (result == -EINVAL || (result == -1 && errno == EINVAL))
			continue;
		count_call();
		check(result == (long)place && memcmp(place, "second", 6) == 0);
		check(munmap(place, 4096) == 0);
	}
	close(descriptor);
	unlink(file);
}

extern char **environ;

static void expect_status(pid_t child, int status)
{
	int found = -1;

	check(child > 0 && waitpid(child, &found, 0) == child);
	if (WIFEXITED(found) && WEXITSTATUS(found) == status)
		count_call();
	else
		check(WIFEXITED(found) && (WEXITSTATUS(found) == 127 || WEXITSTATUS(found) == 77));
}

/* Other programs, begun in a child of fork, of vfork and of posix_spawn; and another end. */
static void programs(void)
{
	char *const arguments[] = { "true", 0 };

	for (int i = 0; i < 5; i++) {
		pid_t child = fork();

		if (!child) {
			execve(command.asked, arguments, environ);
			_exit(127);
		}
		expect_status(child, 0);
		child = vfork();
		if (!child) {
			execve(command.asked, arguments, environ);
			_exit(127);
		}
		expect_status(child, 0);
		int error = posix_spawn(&child, command.asked, 0, 0, arguments, environ);

		if (error)
			check(error == ENOENT);
		else
			expect_status(child, 0);
		child = fork();
		if (!child)
			_exit(77);
		expect_status(child, 7);
	}
}

static int handled;
static sigjmp_buf away;

static void on_signal(int number)
{
	__atomic_fetch_add(&handled, 1, __ATOMIC_SEQ_CST);
	if (number == SIGUSR2)
		siglongjmp(away, 1);
}

static int ready_pipe[2];

/* Waits for a packet of two bytes, and gets one of them if no more were asked for. */
static void *wait_long(void *by_number)
{
	char text[77];
	long got;

	check(write(ready_pipe[1], "", 1) == 1);
	got = by_number ? syscall(SYS_read, pipes[0], text, 77) : read(pipes[0], text, 77);
	check(got == 1 || got == 2);
	if (got == 1)
		count_call();
	return 0;
}

/* The first run leaves two threads in calls, the second ends them. A handler interrupts them, and they are made again. */
static void waiting(void)
{
	static pthread_t thread[2];
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	char byte;

	if (!pipes[0]) {
		handled = 0;
		sigaction(SIGUSR1, &action, 0);
		check(pipe2(pipes, O_DIRECT) == 0 && pipe(ready_pipe) == 0);
		for (long i = 0; i < 2; i++)
			check(pthread_create(&thread[i], 0, wait_long, (void *)i) == 0);
		check(read(ready_pipe[0], &byte, 1) == 1 && read(ready_pipe[0], &byte, 1) == 1);
		usleep(50000);
		for (int i = 0; i < 2; i++)
			pthread_kill(thread[i], SIGUSR1);
		while (__atomic_load_n(&handled, __ATOMIC_SEQ_CST) < 2)
			usleep(1000);
		usleep(20000);
		return;
	}
	for (int i = 0; i < 2; i++)
		check(write(pipes[1], "xx", 2) == 2);
	for (int i = 0; i < 2; i++)
		pthread_join(thread[i], 0);
	close(ready_pipe[0]);
	close(ready_pipe[1]);
	close(pipes[0]);
	close(pipes[1]);
	pipes[0] = 0;
}

static void *signal_later(void *who)
{
	usleep(20000);
	pthread_kill(*(pthread_t *)who, SIGUSR2);
	return 0;
}

/* Handlers that do not come back to the call, and one that ends it. */
static void interrupted(void)
{
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t self = pthread_self(), other;
	char text[77];

	sigaction(SIGUSR2, &action, 0);
	check(pipe(pipes) == 0);
	for (volatile int i = 0; i < 4; i++) {
		if (!sigsetjmp(away, 1)) {
			pthread_create(&other, 0, signal_later, &self);
			i % 2 ? syscall(SYS_read, pipes[0], text, 77) : read(pipes[0], text, 77);
			check(0);
		}
		pthread_join(other, 0);
	}
	check(write(pipes[1], "xx", 2) == 2);
	if (read(pipes[0], text, 77) == 1)
		count_call();
	close(pipes[0]);
	close(pipes[1]);
	pipes[0] = 0;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* A wait that is made longer, and begun anew by the kernel whenever programs come or go. */
static void timeouts(void)
{
	for (int i = 0; i < 2; i++) {
		double before = now();
		long found = i % 2 ? poll(0, 0, 77) : syscall(SYS_poll, 0, 0, 77);

		check(found == 0 && now() - before >= 77);
		if (now() - before >= 177)
			count_call();
	}
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "paths", paths },	  { "threads", threads },	  { "lengths", lengths },   { "all", all },
		{ "programs", programs }, { "waiting", waiting },	  { "interrupted", interrupted },
		{ "timeouts", timeouts }, { 0, 0 },
	};

	return run_scenarios(argc, argv, scenarios);
}
