/*
 * Asks a server again and again, on some connections at once, each as soon as it has its answer. So light that one processor is
 * enough for it. Usage: asking-servers SOCKET CONNECTIONS REQUEST ANSWER, the last two with \r and \n. Then, for each number on its
 * input: so many times WINDOW requests, and in nanoseconds what WINDOW of them took, of a hundred the fifth fastest: whatever else runs
 * here takes its turns between, and some are left alone.
 */
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { MOST = 64, WINDOW = 200, MOST_WINDOWS = 100000 };

static struct pollfd connections[MOST];
/* Of the end of the answer: how many bytes each connection has seen. */
static size_t seen[MOST];
static char request[4096], answer[4096];

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void unescape(char *to, const char *from)
{
	for (; *from; from++)
		*to++ = *from != '\\' ? *from : *++from == 'r' ? '\r' : '\n';
}

static void ask(int n)
{
	size_t size = strlen(request);

	seen[n] = 0;
	if (write(connections[n].fd, request, size) != (ssize_t)size)
		die("write");
}

/* True once the answer has ended. */
static int is_answered(int n)
{
	char bytes[4096];
	ssize_t got = read(connections[n].fd, bytes, sizeof bytes);

	if (got <= 0)
		die("read");
	for (ssize_t i = 0; i < got; i++)
		seen[n] = bytes[i] == answer[seen[n]] ? seen[n] + 1 : bytes[i] == answer[0];
	return answer[seen[n]] == 0;
}

static uint64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000ull + time.tv_nsec;
}

static uint64_t times[MOST_WINDOWS];

static int by_time(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static uint64_t run(int count, long windows)
{
	long requests = windows * WINDOW, asked = 0, answered = 0;
	uint64_t begin = now();

	for (; asked < count && asked < requests; asked++)
		ask(asked);
	while (answered < requests) {
		if (poll(connections, count, 10000) <= 0)
			die("poll");
		for (int n = 0; n < count; n++) {
			if (!connections[n].revents || !is_answered(n))
				continue;
			if (asked < requests) {
				ask(n);
				asked++;
			}
			if (++answered % WINDOW == 0) {
				uint64_t end = now();

				times[answered / WINDOW - 1] = end - begin;
				begin = end;
			}
		}
	}
	qsort(times, windows, sizeof *times, by_time);
	return times[windows / 20];
}

int main(int argc, char **argv)
{
	struct sockaddr_un place = { .sun_family = AF_UNIX };
	int count = argc == 5 ? atoi(argv[2]) : 0;
	long windows;

	if (count < 1 || count > MOST)
		return 2;
	strncpy(place.sun_path, argv[1], sizeof place.sun_path - 1);
	unescape(request, argv[3]);
	unescape(answer, argv[4]);
	for (int n = 0; n < count; n++) {
		connections[n].fd = socket(AF_UNIX, SOCK_STREAM, 0);
		connections[n].events = POLLIN;
		if (connect(connections[n].fd, (struct sockaddr *)&place, sizeof place))
			die("connect");
	}
	printf("ready\n");
	fflush(stdout);
	while (scanf("%ld", &windows) == 1) {
		if (windows < 1 || windows > MOST_WINDOWS)
			return 2;
		printf("%lu\n", run(count, windows));
		fflush(stdout);
	}
	return 0;
}
