/* As tools look at a system call: how often it is made from where, and how long it takes, by powers of two. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_loop)(__u32 count, void *callback, void *data, __u64 flags) = (void *)181;

enum { DEPTH = 2, SLOTS = 32 };

struct started {
	__u64 time;
	__s64 stack;
};

struct times {
	__u64 calls, sum;
	__u32 slots[SLOTS];
};

struct trace_event_raw_sys_enter {
	__u64 common;
	long id;
	unsigned long args[6];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, struct started);
} starts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __s64);
	__type(value, struct times);
} by_stack SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	/* So many that no two of a test have one number. */
	__uint(max_entries, 65536);
	__uint(key_size, 4);
	__uint(value_size, DEPTH * 8);
} stacks SEC(".maps");

SEC("tracepoint/syscalls/sys_enter_futex")
int on_enter(struct trace_event_raw_sys_enter *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct started started = { .time = bpf_ktime_get_ns() };

	/* FUTEX_WAKE_PRIVATE alone: what the C library waits for is its own affair. */
	if (ctx->args[1] != 129)
		return 0;
	started.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_map_update_elem(&starts, &thread, &started, BPF_ANY);
	return 0;
}

struct power {
	__u64 left, bits;
};

static long halve(__u32 index, struct power *power)
{
	power->left >>= 1;
	if (!power->left)
		return 1;
	power->bits++;
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_futex")
int on_exit(void *ctx)
{
	__u32 thread = bpf_get_current_pid_tgid();
	struct started *started = bpf_map_lookup_elem(&starts, &thread);
	static const struct times none;
	struct times *times;
	struct power power = {};
	__s64 stack;

	if (!started)
		return 0;
	power.left = bpf_ktime_get_ns() - started->time;
	stack = started->stack;
	bpf_map_delete_elem(&starts, &thread);
	times = bpf_map_lookup_elem(&by_stack, &stack);
	if (!times) {
		bpf_map_update_elem(&by_stack, &stack, &none, BPF_NOEXIST);
		times = bpf_map_lookup_elem(&by_stack, &stack);
	}
	if (!times)
		return 0;
	__sync_fetch_and_add(&times->calls, 1);
	__sync_fetch_and_add(&times->sum, power.left);
	bpf_loop(SLOTS - 1, halve, &power, 0);
	__sync_fetch_and_add(&times->slots[power.bits & (SLOTS - 1)], 1);
	return 0;
}
