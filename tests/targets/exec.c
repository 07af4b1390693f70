/*
 * Replaces its program by itself once `go` is set; counts in `rounds` before and after. With the arguments `storm TIME` it does so
 * again and again without being told, each time after so many microseconds, and with `series COUNT`, once `go` is set, so many times:
 * both from a thread that is not its first.
 */
#include "target.h"
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

volatile uint64_t rounds;
volatile int go;
static char **arguments;
static int is_first;

static void *storm(void *unused) {
  usleep(atoi(arguments[2]));
  execl("/proc/self/exe", arguments[0], "storm", arguments[2], "again", (char *)0);
  return unused;
}

static void *series(void *unused) {
  char left[16];

  while (is_first && !go) usleep(1000);
  snprintf(left, sizeof(left), "%d", atoi(arguments[2]) - 1);
  if (atoi(arguments[2]) > 0) execl("/proc/self/exe", arguments[0], "series", left, "again", (char *)0);
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread;

  arguments = argv;
  is_first = strcmp(argv[argc - 1], "again");
  if (is_first) ready();
  if (argc > 2) {
    pthread_create(&thread, 0, strcmp(argv[1], "storm") ? series : storm, 0);
    for (;;) rounds++;
  }
  for (;;) {
    rounds++;
    if (go) execl("/proc/self/exe", argv[0], "again", (char *)0);
  }
}
