/* What every target does: say when it is ready. Descriptor 3 leads to the test, which waits until it is closed. */
#include <stdio.h>
#include <unistd.h>

static inline void ready(void) {
  dprintf(3, "ready\n");
  close(3);
}
