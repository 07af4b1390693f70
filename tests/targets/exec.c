/* Replaces its program by itself once `go` is set; counts in `rounds` before and after. */
#include "target.h"
#include <stdint.h>

volatile uint64_t rounds;
volatile int go;

int main(int argc, char **argv) {
  if (argc == 1) ready();
  for (;;) {
    rounds++;
    if (go) execl("/proc/self/exe", argv[0], "again", (char *)0);
  }
}
