/*
 * Replaces its program by itself once `go` is set; counts in `rounds` before and after. With the arguments `storm TIME` it does so
 * again and again, each time after so many microseconds, from a thread that is not its first.
 */
#include "target.h"
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

volatile uint64_t rounds;
volatile int go;
static char **arguments;

static void *replace(void *unused) {
  usleep(atoi(arguments[2]));
  execl("/proc/self/exe", arguments[0], "storm", arguments[2], "again", (char *)0);
  return unused;
}

int main(int argc, char **argv) {
  pthread_t thread;

  arguments = argv;
  if (strcmp(argv[argc - 1], "again")) ready();
  if (argc > 1 && !strcmp(argv[1], "storm")) {
    pthread_create(&thread, 0, replace, 0);
    for (;;) rounds++;
  }
  for (;;) {
    rounds++;
    if (go) execl("/proc/self/exe", argv[0], "again", (char *)0);
  }
}
