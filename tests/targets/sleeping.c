/*
 * Every way to wait in the kernel, each in a thread of its own, again and again until it is told to end. Usage: sleeping CONTROL-FILE
 *
 * Those with a timeout get no signals: they end when it is over, and never before. Those without one are woken, and sent signals whose
 * handlers ask for a restart (SIGUSR1) or do not (SIGUSR2): they end with EINTR only where a handler has run that ends them. See
 * signal(7), "Interruption of system calls and library functions by signal handlers".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "target.h"

enum { TIMEOUT_MS = 20, POKE_US = 1000, MOST = 32 };
enum restart { NEVER, BY_HANDLER };

/* `rows`: how many there are below. `waits` and `interrupted`: of each. */
struct control {
	volatile uint64_t end, done, wrong, rows, waits[MOST], interrupted[MOST];
};

static struct control *control;

static void check(int right)
{
	if (!right)
		__atomic_fetch_add(&control->wrong, 1, __ATOMIC_RELAXED);
}

/* What a thread waits on: a pipe or a connection, and a futex. */
struct waiter {
	int from, to, poller;
	uint32_t word;
	pthread_t thread;
	struct sockaddr_un place;
	socklen_t size;
	/* How many handlers ran in this thread that ask for a restart, and that do not. */
	volatile uint64_t handled[2];
};

static pthread_barrier_t begun;
static uint64_t ended;
static struct waiter waiters[MOST];
static __thread struct waiter *self;
static const struct timespec timeout = { 0, TIMEOUT_MS * 1000000 };

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static int timed_nanosleep(void) { return nanosleep(&timeout, 0); }
static int timed_clock_nanosleep(void) { return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &timeout, 0); }
static int timed_poll(void) { return poll(0, 0, TIMEOUT_MS); }
static int timed_ppoll(void) { return ppoll(0, 0, &timeout, 0); }
static int timed_select(void) { return select(0, 0, 0, 0, &(struct timeval){ 0, TIMEOUT_MS * 1000 }); }
static int timed_pselect(void) { return pselect(0, 0, 0, 0, &timeout, 0); }

static int timed_epoll_wait(void)
{
	struct epoll_event event;

	return epoll_wait(self->poller, &event, 1, TIMEOUT_MS);
}

static int timed_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(self->poller, &event, 1, TIMEOUT_MS, &none);
}

static int timed_futex(void)
{
	return syscall(SYS_futex, &self->word, FUTEX_WAIT_PRIVATE, 0, &timeout, 0, 0) == -1 && errno == ETIMEDOUT ? 0 : -1;
}

static int timed_sigwait(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	return sigtimedwait(&set, 0, &timeout) == -1 && errno == EAGAIN ? 0 : -1;
}

static int timed_recv(void)
{
	char byte;

	return recv(self->from, &byte, 1, 0) == -1 && errno == EAGAIN ? 0 : -1;
}

static int timed_accept(void) { return accept(self->from, 0, 0) == -1 && errno == EAGAIN ? 0 : -1; }

static int woken_read(void)
{
	char byte;

	return read(self->from, &byte, 1) == 1 ? 0 : -1;
}

static int woken_poll(void)
{
	struct pollfd one = { self->from, POLLIN, 0 };

	return poll(&one, 1, -1) == 1 ? woken_read() : -1;
}

static int woken_epoll_pwait(void)
{
	struct epoll_event event;
	sigset_t none;

	sigemptyset(&none);
	return epoll_pwait(self->poller, &event, 1, -1, &none) == 1 ? woken_read() : -1;
}

static int woken_futex(void)
{
	while (__atomic_exchange_n(&self->word, 0, __ATOMIC_SEQ_CST) == 0)
		if (syscall(SYS_futex, &self->word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0) == -1 && errno != EAGAIN)
			return -1;
	return 0;
}

static int woken_accept(void)
{
	int fd = accept(self->from, 0, 0);

	return fd < 0 ? -1 : close(fd);
}

/* Woken from elsewhere, and sent signals, if they have no timeout. */
static const struct row {
	int (*wait)(void);
	enum { PIPE, PAIR, LISTENING } on;
	int is_timed;
	/* Whether a handler may ask for a restart: otherwise each ends it. */
	enum restart restart;
} rows[] = {
	{ timed_nanosleep, PIPE, 1, NEVER },
	{ timed_clock_nanosleep, PIPE, 1, NEVER },
	{ timed_poll, PIPE, 1, NEVER },
	{ timed_ppoll, PIPE, 1, NEVER },
	{ timed_select, PIPE, 1, NEVER },
	{ timed_pselect, PIPE, 1, NEVER },
	{ timed_epoll_wait, PIPE, 1, NEVER },
	{ timed_epoll_pwait, PIPE, 1, NEVER },
	{ timed_futex, PIPE, 1, NEVER },
	{ timed_sigwait, PIPE, 1, NEVER },
	{ timed_recv, PAIR, 1, NEVER },
	{ timed_accept, LISTENING, 1, NEVER },
	{ woken_read, PIPE, 0, BY_HANDLER },
	{ woken_poll, PIPE, 0, NEVER },
	{ woken_epoll_pwait, PIPE, 0, NEVER },
	{ woken_futex, PIPE, 0, BY_HANDLER },
	{ woken_accept, LISTENING, 0, BY_HANDLER },
};
enum { ROWS = sizeof rows / sizeof *rows };

static void on_signal(int number)
{
	self->handled[number == SIGUSR2]++;
}

static void open_waiter(struct waiter *waiter, const struct row *row)
{
	int ends[2];
	struct timeval limit = { 0, TIMEOUT_MS * 1000 };

	if (row->on == PIPE) {
		check(pipe(ends) == 0);
	} else if (row->on == PAIR) {
		check(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
	} else {
		ends[0] = ends[1] = socket(AF_UNIX, SOCK_STREAM, 0);
		waiter->place.sun_family = AF_UNIX;
		waiter->size = sizeof waiter->place;
		/* The kernel chooses a name. */
		check(bind(ends[0], (struct sockaddr *)&waiter->place, sizeof(sa_family_t)) == 0);
		check(getsockname(ends[0], (struct sockaddr *)&waiter->place, &waiter->size) == 0);
		check(listen(ends[0], 8) == 0);
	}
	if (row->is_timed && row->on != PIPE)
		check(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
	waiter->from = ends[0];
	waiter->to = ends[1];
	waiter->poller = epoll_create1(0);
	if (!row->is_timed)
		epoll_ctl(waiter->poller, EPOLL_CTL_ADD, waiter->from, &(struct epoll_event){ .events = EPOLLIN });
}

static void *wait_again(void *number)
{
	long n = (long)number;
	const struct row *row = &rows[n];

	self = &waiters[n];
	pthread_barrier_wait(&begun);
	while (!control->end) {
		uint64_t begin = now(), restarting = self->handled[0], ending = self->handled[1];
		int result = row->wait(), is_interrupted = result == -1 && errno == EINTR;

		if (row->is_timed) {
			/* Time limits of sockets are counted in ticks, which come late where processors are shared: the limit early then. */
			check(result == 0 && (row->on != PIPE || now() - begin >= TIMEOUT_MS * 1000000));
		} else if (is_interrupted) {
			check(self->handled[1] > ending || (row->restart == NEVER && self->handled[0] > restarting));
			control->interrupted[n]++;
			continue;
		} else {
			check(result == 0);
		}
		control->waits[n]++;
	}
	__atomic_fetch_add(&ended, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void wake(struct waiter *waiter, const struct row *row)
{
	if (row->on == LISTENING) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

		/* As many as it lets wait are enough. */
		check(connect(fd, (struct sockaddr *)&waiter->place, waiter->size) == 0 || errno == EAGAIN);
		close(fd);
	} else if (row->wait == woken_futex) {
		__atomic_store_n(&waiter->word, 1, __ATOMIC_SEQ_CST);
		syscall(SYS_futex, &waiter->word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
	} else {
		check(write(waiter->to, "x", 1) == 1);
	}
}

/* Wakes those without a timeout, and sends them signals; until all have ended. */
static void *poke(void *unused)
{
	for (int step = 0; __atomic_load_n(&ended, __ATOMIC_SEQ_CST) < ROWS; step++) {
		for (int n = 0; n < ROWS; n++) {
			if (rows[n].is_timed)
				continue;
			if (step % 3 == 2)
				wake(&waiters[n], &rows[n]);
			else
				pthread_kill(waiters[n].thread, step % 3 ? SIGUSR2 : SIGUSR1);
		}
		usleep(POKE_US);
	}
	return unused;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	pthread_t poker;

	control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (control == MAP_FAILED)
		return 1;
	sigaction(SIGUSR1, &action, 0);
	action.sa_flags = 0;
	sigaction(SIGUSR2, &action, 0);
	control->rows = ROWS;
	pthread_barrier_init(&begun, 0, ROWS + 1);
	for (long n = 0; n < ROWS; n++) {
		open_waiter(&waiters[n], &rows[n]);
		check(!pthread_create(&waiters[n].thread, 0, wait_again, (void *)n));
	}
	pthread_barrier_wait(&begun);
	ready();
	check(!pthread_create(&poker, 0, poke, 0));
	/* Nobody is sent a signal who was joined. */
	pthread_join(poker, 0);
	for (int n = 0; n < ROWS; n++)
		pthread_join(waiters[n].thread, 0);
	control->done = 1;
	pause();
}
