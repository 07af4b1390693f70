/*
 * Hammers one map from many threads of many processes, each interrupted by a timer whose handler uses the map too, by
 * calling the code that was emitted for it. Tells on stdout what it counted, on stderr what went wrong (exit 1).
 *
 *   map-hammer FILE MODE PROCESSES THREADS MILLISECONDS KEYS MAP_SIZE CODE_SIZE LOOKUP UPDATE DELETE KEY_SIZE VALUE_SIZE
 *
 * FILE holds the map's memory, then the code, each rounded up to pages; LOOKUP, UPDATE and DELETE are offsets in the
 * code. Both are mapped where the code was made for.
 *
 * count    every key's value is a counter that everyone adds to: the sum is the number of additions
 * tickets  everyone inserts and deletes the same keys: successful insertions less deletions is what is left of each key
 * own      everyone has keys of their own, and finds in them exactly what they last wrote
 * kill     like tickets, in processes that are killed at any instruction, one after the other
 *
 * Of a map without keys LOOKUP, UPDATE and DELETE peek, push and pop:
 * pass     everyone pushes numbers of their own and pops anyone's: all that were pushed are popped or left; with KEYS 1
 *          those of one thread in their order
 * passKilled  the same, killed
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAP_ADDRESS 0x500000000000
#define CODE_ADDRESS 0x500040000000
#define MAX_KEYS 4096
#define MAX_SIZE 256
#define FEWEST_KILLS 50
#define ANY 0
#define NOEXIST 1
#define EXIST 2

typedef int64_t (*operation)(const void *key, const void *value, uint64_t flags);

static operation lookup, update, delete;
static int key_size, value_size, keys, threads, processes, killing;
static void (*work)(int self, uint64_t *random);

/* Shared by all processes. */
static struct {
    atomic_long operations, added, taken, full, wrong;
    atomic_ulong pushed, popped;
    atomic_int stop;
    atomic_long inserted[MAX_KEYS], deleted[MAX_KEYS];
} *shared;

static __thread int self_id;
static __thread uint64_t handler_random;

static uint64_t next(uint64_t *state) {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static void wrong(const char *what, int key, int64_t result) {
    if (atomic_fetch_add(&shared->wrong, 1) < 10)
        fprintf(stderr, "%s: key %d, result %ld\n", what, key, (long)result);
}

/* A key is its number, repeated in its last bytes; a value is one number in all of its words. */
static void fill_key(unsigned char *bytes, uint32_t key) {
    memset(bytes, 0, MAX_SIZE);
    memcpy(bytes, &key, key_size < 4 ? key_size : 4);
    if (key_size >= 8) memcpy(bytes + key_size - 4, &key, 4);
}

static void fill_value(uint64_t *words, uint64_t number) {
    for (int i = 0; i < MAX_SIZE / 8; i++) words[i] = number;
}

/* --- count ------------------------------------------------------------------------------------------------------ */

static void count(int self, uint64_t *random) {
    unsigned char key[MAX_SIZE];
    uint64_t one[MAX_SIZE / 8];
    uint32_t number = next(random) % keys;
    (void)self;
    fill_key(key, number);
    fill_value(one, 1);
    for (;;) {
        atomic_ulong *counter = (atomic_ulong *)lookup(key, 0, 0);
        if (counter) {
            atomic_fetch_add(counter, 1);
            break;
        }
        int64_t result = update(key, one, NOEXIST);
        if (result == 0) break;
        if (result != -EEXIST) return wrong("count: insertion", number, result);
    }
    atomic_fetch_add(&shared->added, 1);
}

/* --- tickets ---------------------------------------------------------------------------------------------------- */

static void tickets(int self, uint64_t *random) {
    unsigned char key[MAX_SIZE];
    uint64_t value[MAX_SIZE / 8];
    uint64_t choice = next(random);
    uint32_t number = (choice >> 32) % keys;
    int64_t result;
    (void)self;
    fill_key(key, number);
    fill_value(value, (choice >> 16 & 0xffff) * keys + number);
    switch (choice % 8) {
    case 0: case 1: case 2:
        result = update(key, value, NOEXIST);
        if (result == 0) atomic_fetch_add(&shared->inserted[number], 1);
        else if (result == -E2BIG) atomic_fetch_add(&shared->full, 1);
        else if (result != -EEXIST) wrong("tickets: insertion", number, result);
        break;
    case 3: case 4: case 5:
        result = delete(key, 0, 0);
        if (result == 0) atomic_fetch_add(&shared->deleted[number], 1);
        else if (result != -ENOENT) wrong("tickets: deletion", number, result);
        break;
    case 6:
        result = update(key, value, EXIST);
        if (result == -ENOMEM && killing) atomic_fetch_add(&shared->full, 1);
        else if (result != 0 && result != -ENOENT) wrong("tickets: update", number, result);
        break;
    default:
        lookup(key, 0, 0);
    }
}

/* --- own -------------------------------------------------------------------------------------------------------- */

/* The keys of `self` are those whose number leaves the rest `self`; what they hold is remembered here, 0 for absent. */
static uint64_t *remembered;

static void own(int self, uint64_t *random) {
    unsigned char key[MAX_SIZE];
    uint64_t value[MAX_SIZE / 8];
    int owners = 2 * processes * threads;
    uint64_t choice = next(random);
    uint32_t number = self + owners * ((choice >> 32) % (keys / owners));
    uint64_t *mine = &remembered[number];
    int64_t result;
    fill_key(key, number);
    if (choice & 1) {
        uint64_t written = choice | 1;
        fill_value(value, written);
        result = update(key, value, ANY);
        if (result != 0) wrong("own: update", number, result);
        *mine = written;
    } else if (choice & 2) {
        result = delete(key, 0, 0);
        if (result != (*mine ? 0 : -ENOENT)) wrong("own: deletion", number, result);
        *mine = 0;
    }
    uint64_t *found = (uint64_t *)lookup(key, 0, 0);
    if (!found != !*mine) return wrong("own: lookup", number, (int64_t)found);
    for (int i = 0; found && i < value_size / 8; i++)
        if (found[i] != *mine) wrong("own: value", number, found[i]);
}

/* --- pass ------------------------------------------------------------------------------------------------------- */

/* By who runs: how many it pushed, and the last number it saw of each other. */
#define MAX_SELVES 64
static uint64_t numbered[MAX_SELVES], seen[MAX_SELVES][MAX_SELVES];

static void pass(int self, uint64_t *random) {
    uint64_t value[MAX_SIZE / 8];
    uint64_t choice = next(random);
    int64_t result;
    if (choice % 16 == 0) {
        result = lookup(0, value, 0);
        if (result != 0 && result != -ENOENT) wrong("pass: peek", 0, result);
    } else if (choice & 1) {
        fill_value(value, (uint64_t)self << 32 | ++numbered[self]);
        result = update(0, value, ANY);
        if (result == -E2BIG) atomic_fetch_add(&shared->full, 1);
        else if (result != 0) wrong("pass: push", 0, result);
        else atomic_fetch_add(&shared->pushed, value[0]), atomic_fetch_add(&shared->added, 1);
        return;
    } else {
        result = delete(0, value, 0);
        if (result == 0) atomic_fetch_add(&shared->popped, value[0]), atomic_fetch_add(&shared->taken, 1);
        else if (result != -ENOENT) wrong("pass: pop", 0, result);
    }
    if (result != 0) {
        if (value[0] != 0) wrong("pass: no zeros", 0, value[0]);
        return;
    }
    for (int i = 1; i < value_size / 8; i++)
        if (value[i] != value[0]) wrong("pass: a torn value", i, value[i]);
    uint64_t from = value[0] >> 32, number = value[0] & 0xffffffff;
    if (from >= MAX_SELVES || number == 0) return wrong("pass: nobody's value", from, number);
    if (killing || !keys || choice % 16 == 0) return;
    if (number <= seen[self][from]) wrong("pass: out of order", from, number);
    seen[self][from] = number;
}

/* --- who runs --------------------------------------------------------------------------------------------------- */

static void on_timer(int signal) {
    (void)signal;
    if (!handler_random) return;
    int saved = errno;
    work(2 * self_id + 1, &handler_random);
    errno = saved;
}

static void *run(void *argument) {
    int self = (int)(intptr_t)argument;
    uint64_t random = 88172645463325252u + 0x9e3779b97f4a7c15u * (getpid() * 64 + self);
    long done = 0;
    self_id = self;
    handler_random = random ^ 0xabcdef;
    while (!atomic_load_explicit(&shared->stop, memory_order_relaxed)) {
        work(2 * self, &random);
        done++;
    }
    handler_random = 0;
    atomic_fetch_add(&shared->operations, done);
    return 0;
}

static void run_threads(int process) {
    pthread_t others[64];
    struct itimerval timer = {{0, 100}, {0, 100}};
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    sigaction(SIGALRM, &action, 0);
    setitimer(ITIMER_REAL, &timer, 0);
    for (int i = 1; i < threads; i++)
        pthread_create(&others[i], 0, run, (void *)(intptr_t)(process * threads + i));
    run((void *)(intptr_t)(process * threads));
    for (int i = 1; i < threads; i++) pthread_join(others[i], 0);
    memset(&timer, 0, sizeof timer);
    setitimer(ITIMER_REAL, &timer, 0);
}

static pid_t start(int process) {
    pid_t child = fork();
    if (child == 0) {
        run_threads(process);
        _exit(0);
    }
    return child;
}

static void sleep_us(long us) {
    struct timespec time = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&time, &time) == -1 && errno == EINTR) {}
}

static int run_to_the_end(int milliseconds) {
    int failed = 0, status;
    pid_t children[16];
    for (int i = 0; i < processes; i++) children[i] = start(i);
    sleep_us(milliseconds * 1000L);
    atomic_store(&shared->stop, 1);
    for (int i = 0; i < processes; i++) failed |= waitpid(children[i], &status, 0) < 0 || status != 0;
    if (failed) fprintf(stderr, "a process died\n");
    return failed;
}

static void run_and_kill(int milliseconds) {
    struct timespec begin, now;
    uint64_t random = 0x2545f4914f6cdd1d ^ getpid();
    long kills = 0;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        pid_t child = start(0);
        sleep_us(200 + next(&random) % 2000);
        kill(child, SIGKILL);
        waitpid(child, 0, 0);
        kills++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 < milliseconds ||
             kills < FEWEST_KILLS);
    printf("kills %ld\n", kills);
}

static void *map_file(int file, long offset, long size, uintptr_t address, int protection, int flags) {
    void *where = mmap((void *)address, size, protection, flags | MAP_FIXED_NOREPLACE, file, offset);
    if (where != (void *)address) {
        perror("mmap");
        exit(2);
    }
    return where;
}

int main(int count_of, char **arguments) {
    static const struct { const char *name; void (*work)(int, uint64_t *); } modes[] = {
        {"count", count}, {"tickets", tickets}, {"own", own}, {"kill", tickets},
        {"pass", pass}, {"passKilled", pass},
    };
    if (count_of != 14) return 2;
    const char *mode = arguments[2];
    long numbers[14];
    for (int i = 3; i < 14; i++) numbers[i] = atol(arguments[i]);
    processes = numbers[3], threads = numbers[4], keys = numbers[6], key_size = numbers[12], value_size = numbers[13];
    for (unsigned i = 0; i < sizeof modes / sizeof *modes; i++)
        if (!strcmp(modes[i].name, mode)) work = modes[i].work;
    if (!work || keys > MAX_KEYS || threads > 64 || processes > 16) return 2;

    int file = open(arguments[1], O_RDWR);
    long pages = (numbers[7] + 4095) & ~4095L;
    map_file(file, 0, numbers[7], MAP_ADDRESS, PROT_READ | PROT_WRITE, MAP_SHARED);
    char *code = map_file(file, pages, numbers[8], CODE_ADDRESS, PROT_READ | PROT_EXEC, MAP_PRIVATE);
    lookup = (operation)(code + numbers[9]);
    update = (operation)(code + numbers[10]);
    delete = (operation)(code + numbers[11]);
    shared = mmap(0, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    remembered = mmap(0, MAX_KEYS * sizeof *remembered, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    int failed = 0;
    killing = !strcmp(mode, "kill") || !strcmp(mode, "passKilled");
    if (killing) run_and_kill(numbers[5]);
    else failed = run_to_the_end(numbers[5]);
    printf("operations %ld\nadded %ld\nfull %ld\n", shared->operations, shared->added, shared->full);
    if (work == pass)
        printf("taken %ld\npushed %lu\npopped %lu\n", shared->taken, shared->pushed, shared->popped);
    if (work == tickets)
        for (int i = 0; i < keys; i++) printf("left %ld\n", shared->inserted[i] - shared->deleted[i]);
    if (work == own)
        for (int i = 0; i < keys; i++) printf("holds %lu\n", remembered[i]);
    return failed || shared->wrong;
}
