/*
 * Code to be patched while threads are in it: sites MODE COUNT.
 *   call     COUNT threads call `add` and check what it returns
 *   park     COUNT threads spin inside the first five bytes of `parked`, until patched code lets them return
 *   handler  as park, and each thread is then interrupted there by a signal whose handler waits for `go`; COUNT may be
 *            followed by `altstack`, to run the handlers on stacks of their own
 *   blocked  one thread waits in a system call inside the first five bytes of `blocked`, until `go`
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

volatile uint64_t calls, wrong, returned, handling;
volatile int go;

long add(long a, long b);
void parked(void);
long blocked(int fd, void *buffer, long size);

__asm__(".text\n"
        ".p2align 6\n .globl add\n .type add, @function\n"
        "add: push %rbp\n mov %rsp, %rbp\n lea (%rdi,%rsi), %rax\n pop %rbp\n ret\n"
        ".size add, . - add\n"
        ".p2align 6\n .globl parked\n .type parked, @function\n"
        "parked: pause\n jmp parked\n ret\n"
        ".size parked, . - parked\n"
        ".p2align 6\n .globl blocked\n .type blocked, @function\n"
        "blocked: xor %eax, %eax\n syscall\n ret\n" /* read(2) */
        ".size blocked, . - blocked\n");

static void *call(void *unused) {
  for (long i = 0;; i++) {
    if (add(i, 3) != i + 3) __atomic_add_fetch(&wrong, 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&calls, 1, __ATOMIC_RELAXED);
  }
  return unused;
}

static void *park(void *altstack) {
  if (altstack) sigaltstack(&(stack_t){.ss_sp = malloc(65536), .ss_size = 65536}, 0);
  parked();
  __atomic_add_fetch(&returned, 1, __ATOMIC_RELAXED);
  return 0;
}

static void on_signal(int signal) {
  (void)signal;
  __atomic_add_fetch(&handling, 1, __ATOMIC_RELAXED);
  while (!go) usleep(1000);
}

static void *block(void *fd) {
  uint64_t value;
  if (blocked(*(int *)fd, &value, 8) != 8 || value != 42) wrong++;
  returned++;
  return 0;
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "call";
  int count = argc > 2 ? atoi(argv[2]) : 1;
  int altstack = argc > 3;
  int fd = eventfd(0, 0);
  pthread_t threads[256];
  void *(*body)(void *) = !strcmp(mode, "call") ? call : !strcmp(mode, "blocked") ? block : park;
  void *argument = !strcmp(mode, "blocked") ? (void *)&fd : altstack ? (void *)1 : 0;
  for (int i = 0; i < count; i++) pthread_create(&threads[i], 0, body, argument);
  if (!strcmp(mode, "handler")) {
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = on_signal, .sa_flags = altstack ? SA_ONSTACK : 0}, 0);
    usleep(100000); /* let every thread reach its place */
    for (int i = 0; i < count; i++) pthread_kill(threads[i], SIGUSR1);
    while (handling < (uint64_t)count) usleep(1000);
  }
  ready();
  while (!go) usleep(1000);
  if (!strcmp(mode, "blocked")) write(fd, &(uint64_t){42}, 8);
  for (;;) pause();
}
