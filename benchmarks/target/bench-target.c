/*
 * The process under test: functions that cost next to nothing to call, so that what a probe adds is what is measured.
 *
 * bench-target THREADS idle|calling
 *
 * It forks (its parent in the bench is libuv, which would take a tracer's stops for its own), prints "ready PID", then
 * answers lines on stdin until stdin closes:
 *
 *   measure FUNCTION MS THREADS   ->   measured MIN MEDIAN CALLS   ns per call over the blocks of about MS ms, by the
 *                                                                  slower thread of each; calls made by all
 *   pace FUNCTION RATE MS THREADS ->   paced CALLS                 each thread makes RATE calls a microsecond for MS ms
 *   watch, and any line           ->   watching, longest US        longest time in between that the first thread stood still
 */
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ARGUMENTS = 64, BLOCKS = 16, WARM_UP = 1024, BLOCK_MAX = 4000000 };

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/*
 * A function that returns a + b, and `run_NAME`, which calls it with every argument in turn and returns ns per call.
 *
 * The first bytes are the point, so they are written out rather than left to a compiler. What is pushed is rax because
 * it depends on no earlier call: a callee-saved register would chain the calls through memory, and a probe could hide
 * in that latency. The calls are direct because an indirect one costs twice as much.
 */
#define FUNCTION(name, first)                                                                    \
  long name(long a, long b);                                                                     \
  __asm__(".text\n.p2align 6\n.globl " #name "\n.type " #name ", @function\n" #name ":\n" first \
          "push %rax\nlea (%rdi,%rsi), %rax\npop %rcx\nret\n.size " #name ", .-" #name "\n");     \
  static __attribute__((noinline, aligned(64))) double run_##name(long calls) {                  \
    uint64_t begin = now();                                                                      \
    for (long i = 0; i < calls; i++) name(i & (ARGUMENTS - 1), i);                               \
    return (double)(now() - begin) / (double)calls;                                              \
  }

FUNCTION(work_push, "")
FUNCTION(work_nop, ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00\n") /* nopl 0(%rax,%rax,1): the nop the kernel knows */
FUNCTION(work_endbr, "endbr64\n")

/* Not a function to probe: what programs that take the time cannot be without. */
static double run_clock(long calls) {
  uint64_t begin = now();
  for (long i = 0; i < calls; i++) now();
  return (double)(now() - begin) / (double)calls;
}

typedef double run(long calls);

static const struct {
  const char *name;
  run *run;
} functions[] = {
    {"work_push", run_work_push},
    {"work_nop", run_work_nop},
    {"work_endbr", run_work_endbr},
    {"clock", run_clock},
};

static int ascending(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

enum { THREADS_MAX = 8 };

static struct {
  run *run;
  long block;
  int threads;
  int arrived;
  double ns[THREADS_MAX][BLOCKS];
} work;

/* Waits until all threads are there, spinning: a block begins and ends at the same time in all of them. */
static void meet(int meeting) {
  __atomic_add_fetch(&work.arrived, 1, __ATOMIC_ACQ_REL);
  while (__atomic_load_n(&work.arrived, __ATOMIC_ACQUIRE) < meeting * work.threads) __builtin_ia32_pause();
}

static void *run_blocks(void *ns) {
  work.run(WARM_UP);
  for (int i = 0; i < BLOCKS; i++) {
    meet(i + 1);
    ((double *)ns)[i] = work.run(work.block);
  }
  return NULL;
}

static void measure(run *run, double milliseconds, int threads) {
  run(WARM_UP);
  long block = (long)(milliseconds * 1e6 / BLOCKS / run(WARM_UP)) + 1;
  if (block > BLOCK_MAX) block = BLOCK_MAX;
  work.run = run;
  work.block = block;
  work.threads = threads;
  work.arrived = 0;
  pthread_t others[THREADS_MAX];
  for (int t = 1; t < threads; t++)
    if (pthread_create(&others[t], NULL, run_blocks, work.ns[t]) != 0) exit(1);
  double *ns = work.ns[0];
  run_blocks(ns);
  for (int t = 1; t < threads; t++) {
    pthread_join(others[t], NULL);
    for (int i = 0; i < BLOCKS; i++)
      if (work.ns[t][i] > ns[i]) ns[i] = work.ns[t][i];
  }
  qsort(ns, BLOCKS, sizeof ns[0], ascending);
  printf("measured %.4f %.4f %ld\n", ns[0], ns[BLOCKS / 2], 2 * WARM_UP + threads * (WARM_UP + BLOCKS * block));
}

static struct {
  run *run;
  double per_ns, milliseconds;
  long calls;
} pace;

/* Calls that are late by more than that are not made up for: the rate is the most that there ever is. */
enum { PACED_BLOCK = 1000, LATE_NS = 1000000 };

static void *run_paced(void *unused) {
  uint64_t start = now(), begin = start;
  long calls = 0, made = 0;
  for (uint64_t here = start; here - start < pace.milliseconds * 1e6; here = now()) {
    if (made < (here - begin) * pace.per_ns) {
      if (made + LATE_NS * pace.per_ns < (here - begin) * pace.per_ns) begin = here, made = 0;
      pace.run(PACED_BLOCK);
      made += PACED_BLOCK;
      calls += PACED_BLOCK;
    } else {
      nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
    }
  }
  __atomic_add_fetch(&pace.calls, calls, __ATOMIC_RELAXED);
  return unused;
}

static void keep_pace(run *run, double per_us, double milliseconds, int threads) {
  pace.run = run;
  pace.per_ns = per_us / 1e3;
  pace.milliseconds = milliseconds;
  pace.calls = 0;
  pthread_t others[THREADS_MAX];
  for (int t = 1; t < threads; t++)
    if (pthread_create(&others[t], NULL, run_paced, NULL) != 0) exit(1);
  run_paced(NULL);
  for (int t = 1; t < threads; t++) pthread_join(others[t], NULL);
  printf("paced %ld\n", pace.calls);
}

static run *function_of(const char *name) {
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
    if (strcmp(name, functions[i].name) == 0) return functions[i].run;
  exit(2);
}

static void watch(void) {
  printf("watching\n");
  struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
  uint64_t longest = 0, last = now();
  while (poll(&input, 1, 0) == 0) {
    uint64_t here = now();
    if (here - last > longest) longest = here - last;
    last = here;
  }
  char line[128];
  if (fgets(line, sizeof line, stdin)) printf("longest %.1f\n", (double)longest / 1e3);
}

static void *idle(void *unused) {
  for (;;) pause();
  return unused;
}

static void *calling(void *unused) {
  for (;;) run_work_push(WARM_UP);
  return unused;
}

static void start_threads(int count, void *(*body)(void *)) {
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 64 * 1024);
  for (int i = 0; i < count; i++) {
    pthread_t thread;
    if (pthread_create(&thread, &small, body, NULL) != 0) exit(1);
  }
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  if (fork() != 0) {
    wait(NULL);
    _exit(0);
  }
  start_threads(atoi(argv[1]) - 1, strcmp(argv[2], "calling") == 0 ? calling : idle);
  setvbuf(stdout, NULL, _IOLBF, 0);
  printf("ready %d\n", (int)getpid());

  char line[128], name[64];
  double milliseconds, rate;
  int threads;
  while (fgets(line, sizeof line, stdin)) {
    if (strcmp(line, "watch\n") == 0) {
      watch();
      continue;
    }
    if (sscanf(line, "pace %63s %lf %lf %d", name, &rate, &milliseconds, &threads) == 4 && threads <= THREADS_MAX) {
      keep_pace(function_of(name), rate, milliseconds, threads);
      continue;
    }
    if (sscanf(line, "measure %63s %lf %d", name, &milliseconds, &threads) != 3 || threads < 1 || threads > THREADS_MAX)
      return 2;
    measure(function_of(name), milliseconds, threads);
  }
  return 0;
}
