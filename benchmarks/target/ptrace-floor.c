/*
 * The least that stopping all threads of a process can cost: every thread is seized, then told to stop, waited for, its registers
 * read, and let go, with nothing done in between. What an attach adds to this is ours.
 *
 * ptrace-floor PID CYCLES   ->   a line for each cycle: US, from the first thread that was told to stop to the last that was let go
 */
#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 1024 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static void need(long result, const char *what) {
  if (result != -1) return;
  fprintf(stderr, "cannot %s: %s\n", what, strerror(errno));
  exit(1);
}

static int list_threads(const char *pid, pid_t *threads) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%s/task", pid);
  DIR *folder = opendir(path);
  need(folder ? 0 : -1, "list the threads");
  int count = 0;
  for (struct dirent *entry; (entry = readdir(folder)) && count < THREADS_MAX;)
    if (entry->d_name[0] != '.') threads[count++] = atoi(entry->d_name);
  closedir(folder);
  return count;
}

static double stop_all(const pid_t *threads, int count) {
  static struct user_regs_struct registers[THREADS_MAX];
  for (int i = 0; i < count; i++) need(ptrace(PTRACE_SEIZE, threads[i], 0, 0), "seize");
  const struct sched_param first = {.sched_priority = 1}, ordinary = {0};
  int raised = sched_setscheduler(0, SCHED_FIFO, &first) == 0;
  double begin = now();
  for (int i = 0; i < count; i++) need(ptrace(PTRACE_INTERRUPT, threads[i], 0, 0), "interrupt");
  for (int i = 0; i < count; i++) {
    int status;
    need(waitpid(threads[i], &status, __WALL), "wait");
    need(ptrace(PTRACE_GETREGS, threads[i], 0, &registers[i]), "read registers");
  }
  for (int i = 0; i < count; i++) need(ptrace(PTRACE_DETACH, threads[i], 0, 0), "let go");
  double end = now();
  if (raised) sched_setscheduler(0, SCHED_OTHER, &ordinary);
  return end - begin;
}

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  static pid_t threads[THREADS_MAX];
  int count = list_threads(argv[1], threads);
  for (int cycle = atoi(argv[2]); cycle > 0; cycle--) {
    printf("%.1f\n", stop_all(threads, count));
    usleep(10000);
  }
  return 0;
}
