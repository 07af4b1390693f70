/*
 * One thread that waits in a system call, again and again, and notes what it sees: sleeper CALL.
 * `spurious` counts answers that only a signal explains (there are none), `too_short` others that ended too early.
 */
#define _GNU_SOURCE
#include "target.h"
#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>

#define WAIT_MS 300

volatile uint64_t waits, spurious, too_short, longest_ms;

static uint64_t now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000ull + t.tv_nsec / 1000000;
}

static const struct timespec wait = {0, WAIT_MS * 1000000L};
static int never; /* a descriptor that is never ready */

static int wait_nanosleep(void) { return nanosleep(&wait, 0); }
static int wait_poll(void) { return poll(&(struct pollfd){never, POLLIN, 0}, 1, WAIT_MS); }
static int wait_select(void) {
  fd_set set;
  FD_ZERO(&set);
  FD_SET(never, &set);
  return select(never + 1, &set, 0, 0, &(struct timeval){0, WAIT_MS * 1000});
}
static int wait_futex(void) {
  static int word;
  int result = syscall(SYS_futex, &word, FUTEX_WAIT, 0, &wait, 0, 0);
  return result < 0 && errno == ETIMEDOUT ? 0 : result;
}
static int wait_epoll(void) {
  static int epoll = -1;
  if (epoll < 0) {
    epoll = epoll_create1(0);
    epoll_ctl(epoll, EPOLL_CTL_ADD, never, &(struct epoll_event){.events = EPOLLIN});
  }
  return epoll_wait(epoll, &(struct epoll_event){0}, 1, WAIT_MS);
}
static int wait_sigtimedwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR2);
  int result = sigtimedwait(&set, 0, &wait);
  return result < 0 && errno == EAGAIN ? 0 : result;
}
static int wait_semtimedop(void) {
  static int id = -1;
  if (id < 0) id = semget(IPC_PRIVATE, 1, 0600);
  int result = semtimedop(id, &(struct sembuf){0, -1, 0}, 1, &wait);
  if (result < 0 && errno == EAGAIN) result = 0;
  return result;
}
static int wait_recv(void) {
  static int pair[2] = {-1, -1};
  if (pair[0] < 0) {
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, WAIT_MS * 1000}, sizeof(struct timeval));
  }
  char byte;
  int result = recv(pair[0], &byte, 1, 0);
  return result < 0 && errno == EAGAIN ? 0 : result;
}

static const struct {
  const char *name;
  int (*wait)(void);
} calls[] = {
    {"nanosleep", wait_nanosleep},     {"poll", wait_poll},
    {"select", wait_select},           {"futex", wait_futex},
    {"epoll_wait", wait_epoll},        {"sigtimedwait", wait_sigtimedwait},
    {"semtimedop", wait_semtimedop},   {"recv", wait_recv},
};

int main(int argc, char **argv) {
  const char *name = argc > 1 ? argv[1] : "nanosleep";
  int (*body)(void) = 0;
  for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++)
    if (!strcmp(calls[i].name, name)) body = calls[i].wait;
  if (!body) return 1;
  never = eventfd(0, 0);
  ready();
  for (;;) {
    uint64_t begin = now_ms();
    int result = body();
    uint64_t took = now_ms() - begin;
    if (result < 0) spurious++;
    else if (took + 1 < WAIT_MS) too_short++;
    if (took > longest_ms) longest_ms = took;
    waits++;
  }
}
