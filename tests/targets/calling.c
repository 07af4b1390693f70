/*
 * System calls of every kind, made in every way: see returning.h. Each scenario counts the getppid calls that it makes: those
 * are what the tests compare.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/sched.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "returning.h"

static long parent;

/* Whoever started us may have gone meanwhile. */
static void begin(void)
{
	count_call();
	parent = getppid();
}

static void ask(void)
{
	count_call();
	check(getppid() == parent);
	count_call();
	check(syscall(SYS_getppid) == parent);
}

static void plain(void)
{
	begin();
	for (int i = 0; i < 1000; i++)
		ask();
}

static void *ask_often(void *unused)
{
	for (int i = 0; i < 5000; i++)
		ask();
	return unused;
}

static void threads(void)
{
	begin();
	pthread_t thread[4];

	for (int i = 0; i < 4; i++)
		pthread_create(&thread[i], 0, ask_often, 0);
	for (int i = 0; i < 4; i++)
		pthread_join(thread[i], 0);
}

/*
 * Everything a system call keeps: general registers, a vector register, the red zone, and the flags, here with overflow, sign and
 * carry set. The number is known from the code in the first, and comes from memory in the second.
 */
struct state {
	uint64_t number, result, flags, differences;
};

void known_number(struct state *);
void number_from_memory(struct state *);

#define KEEPS_STATE(name, load_number)                                                                                  \
	asm(".text\n.globl " name "\n.type " name ", @function\n" name ":\n"                                            \
	    " push %rbx\n push %rbp\n push %r12\n push %r13\n push %r14\n push %r15\n"                                  \
	    " mov %rdi, %rbx\n"                                                                                         \
	    " mov $0x1111, %esi\n movq %rsi, %xmm7\n mov $0x22220001, %edi\n mov $0x22220002, %esi\n"                   \
	    " mov $0x22220003, %edx\n mov $0x22220004, %r10d\n mov $0x22220005, %r8d\n mov $0x22220006, %r9d\n"         \
	    " mov $0x22220007, %ebp\n mov $0x22220008, %r12d\n mov $0x22220009, %r13d\n mov $0x2222000a, %r14d\n"       \
	    " mov $0x2222000b, %r15d\n"                                                                                 \
	    " movq $0x3333, -8(%rsp)\n movq $0x4444, -64(%rsp)\n movq $0x5555, -128(%rsp)\n"                            \
	    " mov $0x80000000, %eax\n add %eax, %eax\n sbb %r11d, %r11d\n mov $0x7fffffff, %eax\n add $1, %eax\n stc\n" \
	    " " load_number "\n"                                                                                        \
	    " syscall\n"                                                                                                \
	    " pushfq\n pop %rcx\n lea -8(%rsp), %rsp\n lea 8(%rsp), %rsp\n"                                             \
	    " mov %rcx, 16(%rbx)\n mov %rax, 8(%rbx)\n xor %eax, %eax\n"                                                \
	    " xor $0x22220001, %edi\n or %edi, %eax\n xor $0x22220002, %esi\n or %esi, %eax\n"                          \
	    " xor $0x22220003, %edx\n or %edx, %eax\n xor $0x22220004, %r10d\n or %r10d, %eax\n"                        \
	    " xor $0x22220005, %r8d\n or %r8d, %eax\n xor $0x22220006, %r9d\n or %r9d, %eax\n"                          \
	    " xor $0x22220007, %ebp\n or %ebp, %eax\n xor $0x22220008, %r12d\n or %r12d, %eax\n"                        \
	    " xor $0x22220009, %r13d\n or %r13d, %eax\n xor $0x2222000a, %r14d\n or %r14d, %eax\n"                      \
	    " xor $0x2222000b, %r15d\n or %r15d, %eax\n"                                                                \
	    " movq %xmm7, %rsi\n xor $0x1111, %esi\n or %esi, %eax\n"                                                   \
	    " mov -64(%rsp), %rsi\n xor $0x4444, %rsi\n or %esi, %eax\n"                                                \
	    " mov -128(%rsp), %rsi\n xor $0x5555, %rsi\n or %esi, %eax\n"                                               \
	    " mov %rax, 24(%rbx)\n"                                                                                     \
	    " pop %r15\n pop %r14\n pop %r13\n pop %r12\n pop %rbp\n pop %rbx\n ret\n"                                  \
	    ".size " name ", . - " name "\n")

KEEPS_STATE("known_number", "mov $110, %eax");
KEEPS_STATE("number_from_memory", "mov (%rbx), %rax");

/* Carry, parity, adjust, sign, overflow: what `add $1` left of 0x7fffffff, and stc. */
#define FLAGS_SET 0x8d5
#define EXPECTED 0x895

static void state(void)
{
	begin();
	struct state state = { SYS_getppid, 0, 0, 0 };

	for (int i = 0; i < 2000; i++) {
		count_call();
		known_number(&state);
		check((long)state.result == parent && !state.differences && (state.flags & FLAGS_SET) == EXPECTED);
		count_call();
		number_from_memory(&state);
		check((long)state.result == parent && !state.differences && (state.flags & FLAGS_SET) == EXPECTED);
	}
}

/* Numbers that no kernel serves, from code that takes whatever comes. */
static void invalid(void)
{
	begin();
	static const uint64_t numbers[] = { -1, 512, 511, 1023, 1ul << 63, 1ul << 31, 0x40000000 + SYS_getppid, 1000000 };

	for (unsigned i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
		struct state state = { numbers[i], 0, 0, 0 };

		number_from_memory(&state);
		/* The kernel looks at the low half only. */
		check((int)numbers[i] == 0 || ((long)state.result == -ENOSYS && !state.differences));
	}
	ask();
}

extern char **environ;

static void wait_for(pid_t child, int status)
{
	int found = -1;

	check(child > 0 && waitpid(child, &found, 0) == child && found == status);
}

static int in_thread(void *unused)
{
	count_call();
	syscall(SYS_getppid);
	return unused != 0;
}

/* Children of every kind, that ask too. */
static void children(void)
{
	begin();
	static char stack[65536] __attribute__((aligned(16)));
	char *const arguments[] = { "true", 0 };
	pthread_t thread;
	pid_t child;

	for (int i = 0; i < 20; i++) {
		child = fork();
		if (!child) {
			count_call();
			_exit(getppid() == getpid());
		}
		wait_for(child, 0);
		child = vfork();
		if (!child) {
			execve("/bin/true", arguments, environ);
			_exit(1);
		}
		wait_for(child, 0);
		check(posix_spawn(&child, "/bin/true", 0, 0, arguments, environ) == 0);
		wait_for(child, 0);
		child = clone(in_thread, stack + sizeof(stack), SIGCHLD | CLONE_VM, 0);
		wait_for(child, 0);
		check(pthread_create(&thread, 0, ask_often, 0) == 0 && pthread_join(thread, 0) == 0);
		check(system("exit 3") == 3 << 8);
		ask();
	}
}

static volatile int handled;

static void on_signal(int unused)
{
	(void)unused;
	handled++;
	ask();
}

static int pipes[2];

static void *write_later(void *reader)
{
	usleep(20000);
	pthread_kill(*(pthread_t *)reader, SIGUSR1);
	usleep(20000);
	check(write(pipes[1], "x", 1) == 1);
	return 0;
}

/* Handlers in the middle of calls, with and without SA_RESTART. */
static void signals(void)
{
	begin();
	struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
	struct timespec wait = { 10, 0 };
	pthread_t self = pthread_self(), writer;
	char byte;

	sigaction(SIGUSR1, &action, 0);
	check(pipe(pipes) == 0);
	for (int i = 0; i < 3; i++) {
		pthread_create(&writer, 0, write_later, &self);
		check(read(pipes[0], &byte, 1) == 1);
		pthread_join(writer, 0);
	}
	action.sa_flags = 0;
	sigaction(SIGUSR1, &action, 0);
	for (int i = 0; i < 3; i++) {
		pthread_create(&writer, 0, write_later, &self);
		check(read(pipes[0], &byte, 1) == -1 && errno == EINTR);
		check(read(pipes[0], &byte, 1) == 1);
		pthread_join(writer, 0);
	}
	pthread_create(&writer, 0, write_later, &self);
	check(nanosleep(&wait, &wait) == -1 && errno == EINTR && wait.tv_sec == 9);
	pthread_join(writer, 0);
	check(read(pipes[0], &byte, 1) == 1);
	check(handled == 7);
	for (int i = 0; i < 1000; i++)
		raise(SIGUSR1);
	handled = 0;
	close(pipes[0]);
	close(pipes[1]);
}

/* A thread that waits in a call until it is told to go on, once through the C library and once by a number from memory. */
static void *wait_long(void *by_number)
{
	char byte;
	long got = by_number ? syscall(SYS_read, pipes[0], &byte, 1) : read(pipes[0], &byte, 1);

	check(got == 1);
	return 0;
}

static void waiting(void)
{
	static pthread_t thread[2];

	if (!pipes[0]) {
		check(pipe(pipes) == 0);
		pthread_create(&thread[0], 0, wait_long, 0);
		pthread_create(&thread[1], 0, wait_long, (void *)1);
		usleep(50000);
		return;
	}
	check(write(pipes[1], "xx", 2) == 2);
	pthread_join(thread[0], 0);
	pthread_join(thread[1], 0);
	close(pipes[0]);
	close(pipes[1]);
	pipes[0] = 0;
}

/* Ten reads and ten writes, half of them by a number from memory; all other calls are others. */
static void dispatch(void)
{
	char byte = 'x';

	check(pipe(pipes) == 0);
	for (int i = 0; i < 5; i++) {
		check(write(pipes[1], &byte, 1) == 1);
		check(read(pipes[0], &byte, 1) == 1);
		check(syscall(SYS_write, pipes[1], &byte, 1) == 1);
		check(syscall(SYS_read, pipes[0], &byte, 1) == 1);
	}
	close(pipes[0]);
	close(pipes[1]);
	pipes[0] = 0;
}

/* `calls` are those that were answered with errno EPERM; whatever else is not the parent is wrong, and so is a register. */
static void answered(void)
{
	struct state state = { SYS_getppid, 0, 0, 0 };

	parent = 0;
	for (int i = 0; i < 300; i++) {
		void (*ask_one)(struct state *) = i % 2 ? known_number : number_from_memory;

		ask_one(&state);
		check(!state.differences && (state.flags & FLAGS_SET) == EXPECTED);
		if ((long)state.result == -EPERM)
			count_call();
		else if (!parent)
			parent = state.result;
		else
			check((long)state.result == parent);
	}
	check(getpid() > 0);
}

/* The bytes of a call where none is: in a constant, in an address, in data between the instructions. */
long misleading(const char *);
asm(".text\n.globl misleading\n.type misleading, @function\nmisleading:\n"
    " mov $0x050f050f, %eax\n jmp 1f\n syscall\n nopl 0(%rax,%rax,1)\n1: xor $0x0000050f, %eax\n"
    " cmp %al, 0x5(%rdi)\n je 2f\n ret\n2: xor %eax, %eax\n ret\n.size misleading, . - misleading\n");

static void traps(void)
{
	static const char text[] = "\x0f\x05\x0f\x05\x0f\x05";

	begin();
	for (int i = 0; i < 1000; i++)
		check(misleading(text) == 0x050f0000);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

/* Calls that no `syscall` makes: of the vDSO and, where there is one, of the gate for 32-bit programs. */
static void other_gates(void)
{
	double last = now();
	pid_t child = fork();

	if (!child) {
		long pid = 20;

		asm volatile("int $0x80" : "+a"(pid) : : "r8", "r9", "r10", "r11", "memory");
		_exit(pid != getpid());
	}
	int status = -1;

	check(waitpid(child, &status, 0) == child && (status == 0 || WIFSIGNALED(status)));
	for (int i = 0; i < 1000; i++) {
		double next = now();

		check(next >= last);
		last = next;
	}
}

/* What programs that look at mmap get to see. */
static void mapping(void)
{
	void *memory = mmap(0, 8192, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	control->calls = (uint64_t)memory;
	check(memory != MAP_FAILED);
}

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "plain", plain },	{ "threads", threads }, { "state", state },	{ "invalid", invalid },
		{ "children", children }, { "signals", signals }, { "waiting", waiting }, { "mapping", mapping },
		{ "dispatch", dispatch },
		{ "answered", answered },
		{ "traps", traps },
		{ "other gates", other_gates },
		{ 0, 0 },
	};

	return run_scenarios(argc, argv, scenarios);
}
