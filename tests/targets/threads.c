/*
 * Threads that check themselves: threads COUNT MODE.
 *   spin   each thread keeps known values in every register, below the stack pointer and in the flags, and counts a
 *          round only if it finds them again
 *   idle   all but the first thread sleep; the first spins
 *   churn  as idle, and two more threads create and join four short-lived ones without end
 *   breed  one thread that creates others, one at a time, and never sleeps; each adds one to `churned`, and runs once
 *   signal as spin, with a 1 ms timer whose handler counts
 *   leaderless  as spin, but the first thread ends before the others
 *   fleeting  the first thread spins, another sleeps on memory of its own until `go`: then it ends, the memory is unmapped,
 *          and `churned` counts it
 *   mixed  as idle, but every hundredth thread spins, and one more waits in vfork for a child that ends at `go`, or in a minute
 *   vfork  as spin, and one more thread waits in vfork for a child that sleeps three seconds, then counts `churned`
 */
#define _GNU_SOURCE
#include "target.h"
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>

volatile uint64_t rounds, damaged, churned, signals;
volatile int go;

static uint64_t check_registers(void) {
  uint64_t bad;
  __asm__ volatile(
      "push %%rbp\n"
      "movabs $0x0101010101010101, %%rax\n"
      "movq %%rax, %%xmm0\n"
      "movq %%rax, %%xmm15\n"
      "mov %%rax, -16(%%rsp)\n"
      "mov %%rax, -128(%%rsp)\n"
      "mov $1, %%ebx\n mov $2, %%ecx\n mov $3, %%edx\n mov $4, %%esi\n mov $5, %%edi\n mov $6, %%ebp\n"
      "mov $8, %%r8d\n mov $9, %%r9d\n mov $10, %%r10d\n mov $11, %%r11d\n"
      "mov $12, %%r12d\n mov $13, %%r13d\n mov $14, %%r14d\n mov $15, %%r15d\n"
      "std\n"
      "stc\n"
      ".rept 64\n pause\n jnc 9f\n .endr\n"
      "pushfq\n"
      "cld\n"
      "testl $0x400, (%%rsp)\n"
      "lea 8(%%rsp), %%rsp\n"
      "jz 9f\n"
      "cmp $1, %%rbx\n jne 9f\n cmp $2, %%rcx\n jne 9f\n cmp $3, %%rdx\n jne 9f\n cmp $4, %%rsi\n jne 9f\n"
      "cmp $5, %%rdi\n jne 9f\n cmp $6, %%rbp\n jne 9f\n"
      "cmp $8, %%r8\n jne 9f\n cmp $9, %%r9\n jne 9f\n cmp $10, %%r10\n jne 9f\n cmp $11, %%r11\n jne 9f\n"
      "cmp $12, %%r12\n jne 9f\n cmp $13, %%r13\n jne 9f\n cmp $14, %%r14\n jne 9f\n cmp $15, %%r15\n jne 9f\n"
      "cmp %%rax, -16(%%rsp)\n jne 9f\n cmp %%rax, -128(%%rsp)\n jne 9f\n"
      "movq %%xmm0, %%rcx\n cmp %%rax, %%rcx\n jne 9f\n"
      "movq %%xmm15, %%rcx\n cmp %%rax, %%rcx\n jne 9f\n"
      "movabs $0x0101010101010101, %%rcx\n cmp %%rax, %%rcx\n jne 9f\n"
      "xor %%eax, %%eax\n"
      "jmp 8f\n"
      "9: cld\n mov $1, %%eax\n"
      "8: pop %%rbp\n"
      : "=a"(bad)
      :
      : "rbx", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm0", "xmm15", "cc",
        "memory");
  return bad;
}

__attribute__((noipa)) void passed(uint64_t count) { __atomic_add_fetch(&rounds, count, __ATOMIC_RELAXED); }

static void *spin(void *unused) {
  for (;;) {
    if (check_registers()) __atomic_add_fetch(&damaged, 1, __ATOMIC_RELAXED);
    else passed(1);
  }
  return unused;
}

static void *idle(void *unused) {
  for (;;) usleep(200000);
  return unused;
}

static void *nothing(void *unused) { return unused; }

static void *churn(void *unused) {
  for (;;) {
    pthread_t threads[4];
    for (int i = 0; i < 4; i++)
      if (pthread_create(&threads[i], 0, nothing, 0)) __atomic_add_fetch(&damaged, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], 0);
    __atomic_add_fetch(&churned, 4, __ATOMIC_RELAXED);
  }
  return unused;
}

static void *born(void *unused) {
  __atomic_add_fetch(&churned, 1, __ATOMIC_SEQ_CST);
  return unused;
}

static void breed(const pthread_attr_t *attributes) {
  for (uint64_t created = 1;; created++) {
    pthread_t thread;
    if (pthread_create(&thread, attributes, born, 0)) damaged++;
    while (__atomic_load_n(&churned, __ATOMIC_SEQ_CST) < created) {}
    damaged += churned != created;
  }
}

static int wake[2];

static void *sleep_until_woken(void *unused) {
  char byte;
  if (read(wake[0], &byte, 1) != 1) __atomic_add_fetch(&damaged, 1, __ATOMIC_RELAXED);
  return unused;
}

static void lend_and_end(void) {
  pthread_attr_t attributes;
  pthread_t thread;
  size_t size = 65536;
  char *stack = mmap(0, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  pthread_attr_init(&attributes);
  pthread_attr_setstack(&attributes, stack, size);
  if (pipe(wake) || pthread_create(&thread, &attributes, sleep_until_woken, 0)) damaged++;
  ready();
  while (!go) continue;
  if (write(wake[1], "", 1) != 1) damaged++;
  pthread_join(thread, 0);
  munmap(stack, size);
  churned++;
}

static void *wait_in_vfork(void *until_go) {
  if (vfork() == 0) {
    close(3);
    if (until_go)
      for (int i = 0; i < 60000 && !go; i++) usleep(1000);
    else
      sleep(3);
    _exit(0);
  }
  for (;;) {
    churned++;
    usleep(1000);
  }
  return until_go;
}

static void on_signal(int signal) {
  (void)signal;
  __atomic_add_fetch(&signals, 1, __ATOMIC_RELAXED);
}

int main(int argc, char **argv) {
  int count = argc > 1 ? atoi(argv[1]) : 1;
  const char *mode = argc > 2 ? argv[2] : "spin";
  int spins = strcmp(mode, "mixed") && strcmp(mode, "idle") && strcmp(mode, "churn");
  pthread_attr_t attributes;
  pthread_t thread;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 65536);
  int seldom = !strcmp(mode, "mixed");
  for (int i = 1; i < count; i++)
    pthread_create(&thread, &attributes, spins || (seldom && i % 100 == 0) ? spin : idle, 0);
  if (!strcmp(mode, "churn")) {
    pthread_create(&thread, &attributes, churn, 0);
    pthread_create(&thread, &attributes, churn, 0);
  }
  if (!strcmp(mode, "fleeting")) {
    lend_and_end();
    spin(0);
  }
  if (!strcmp(mode, "signal")) {
    signal(SIGALRM, on_signal);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 1000}, {0, 1000}}, 0);
  }
  if (!strcmp(mode, "vfork") || !strcmp(mode, "mixed")) {
    pthread_create(&thread, &attributes, wait_in_vfork, strcmp(mode, "vfork") ? &thread : 0);
    usleep(100000);
  }
  ready();
  if (!strcmp(mode, "breed")) {
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    breed(&attributes);
  }
  if (!strcmp(mode, "leaderless")) pthread_exit(0);
  spin(0);
}
