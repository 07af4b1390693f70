/*
 * Ten thousand functions, many_10000 to many_19999. Each step of `go` calls every one of them once and checks what it
 * returns. Between each and the next is room for one more jump, but no more than that.
 */
#include "target.h"
#include <stdint.h>

#define T1(m, p) m(p##0) m(p##1) m(p##2) m(p##3) m(p##4) m(p##5) m(p##6) m(p##7) m(p##8) m(p##9)
#define T2(m, p) T1(m, p##0) T1(m, p##1) T1(m, p##2) T1(m, p##3) T1(m, p##4) T1(m, p##5) T1(m, p##6) T1(m, p##7) T1(m, p##8) T1(m, p##9)
#define T3(m, p) T2(m, p##0) T2(m, p##1) T2(m, p##2) T2(m, p##3) T2(m, p##4) T2(m, p##5) T2(m, p##6) T2(m, p##7) T2(m, p##8) T2(m, p##9)
#define T4(m, p) T3(m, p##0) T3(m, p##1) T3(m, p##2) T3(m, p##3) T3(m, p##4) T3(m, p##5) T3(m, p##6) T3(m, p##7) T3(m, p##8) T3(m, p##9)

#define DEFINE(n) \
  long many_##n(long a) { return a + n; }
#define NAME(n) many_##n,

T4(DEFINE, 1)

static long (*volatile functions[])(long) = {T4(NAME, 1)};

volatile uint64_t calls, wrong;
volatile int go;

int main(void) {
  ready();
  for (int done = 0;;) {
    if (go == done) {
      usleep(100);
      continue;
    }
    for (long n = 0; n < 10000; n++) {
      if (functions[n](done) != done + 10000 + n) wrong++;
      calls++;
    }
    done++;
  }
}
