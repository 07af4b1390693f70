/* Functions chosen at run time: `chosen` is called, `unused` never is. */
#include "target.h"

volatile long results;

__attribute__((noipa)) long implementation(long a) { return a + 41; }
static long (*resolve(void))(long) { return implementation; }

long chosen(long a) __attribute__((ifunc("resolve")));
long unused(long a) __attribute__((ifunc("resolve")));

int main(void) {
  results = chosen(1);
  ready();
  for (;;) pause();
}
