/* Programs in front of system calls that change their arguments: see tests/targets/changing.c. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

/* Linux include/trace/events/syscalls.h; what vmlinux.h calls it */
struct trace_event_raw_sys_enter {
	__u64 common;
	long id;
	unsigned long args[6];
};

struct trace_event_raw_sys_exit {
	__u64 common;
	long id;
	long ret;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __always_inline void see(__u32 slot, __u64 value)
{
	__u64 *last = bpf_map_lookup_elem(&seen, &slot);

	if (last)
		*last = value;
}

static __always_inline void count(__u32 slot)
{
	__u64 *calls = bpf_map_lookup_elem(&seen, &slot);

	if (calls)
		__sync_fetch_and_add(calls, 1);
}

/* "/remora/": what lies 32 bytes behind it is meant. */
#define MARK 0x2f61726f6d65722fULL
#define MEANT 32

static __always_inline int is_marked(unsigned long path)
{
	__u64 begin = 0;

	return !bpf_probe_read_user(&begin, sizeof(begin), (void *)path) && begin == MARK;
}

SEC("tracepoint/syscalls/sys_enter_openat")
int on_openat(struct trace_event_raw_sys_enter *ctx)
{
	if (is_marked(ctx->args[1]))
		ctx->args[1] += MEANT;
	return 0;
}

SEC("ksyscall/execve")
int on_execve(struct pt_regs *ctx)
{
	if (is_marked(ctx->di))
		ctx->di += MEANT;
	return 0;
}

SEC("ksyscall/write")
int on_write(struct pt_regs *ctx)
{
	if (ctx->dx == 77)
		ctx->dx = 5;
	return 0;
}

SEC("ksyscall/read")
int on_read(struct pt_regs *ctx)
{
	if (ctx->dx == 77)
		ctx->dx = 1;
	return 0;
}

SEC("ksyscall/exit_group")
int on_exit_group(struct pt_regs *ctx)
{
	if (ctx->di == 77)
		ctx->di = 7;
	return 0;
}

SEC("ksyscall/poll")
int on_poll(struct pt_regs *ctx)
{
	if (ctx->dx == 77)
		ctx->dx = 177;
	return 0;
}

/* All six are where the first one says. */
SEC("tp/syscalls/sys_enter_mmap")
int on_mmap(struct trace_event_raw_sys_enter *ctx)
{
	__u64 meant[6];

	if (ctx->args[5] != 77 || bpf_probe_read_user(meant, sizeof(meant), (void *)ctx->args[0]))
		return 0;
	ctx->args[0] = meant[0];
	ctx->args[1] = meant[1];
	ctx->args[2] = meant[2];
	ctx->args[3] = meant[3];
	ctx->args[4] = meant[4];
	ctx->args[5] = meant[5];
	return 0;
}

/* Nobody looks at the arguments of getppid: every second time they are others. */
SEC("tp/syscalls/sys_enter_getppid")
int on_getppid(struct trace_event_raw_sys_enter *ctx)
{
	__u32 slot = 0;
	__u64 *calls = bpf_map_lookup_elem(&seen, &slot);

	if (!calls || ++*calls % 2)
		return 0;
	ctx->args[0] = -1;
	ctx->args[1] = -2;
	ctx->args[2] = -3;
	ctx->args[3] = -4;
	ctx->args[4] = -5;
	ctx->args[5] = -6;
	return 0;
}

SEC("ksyscall/getppid")
int on_getppid_behind(struct pt_regs *ctx)
{
	if (ctx->di == -1 && ctx->si == -2 && ctx->dx == -3 && ctx->r10 == -4 && ctx->r8 == -5 && ctx->r9 == -6)
		count(1);
	else
		see(3, ctx->di);
	return 0;
}

SEC("kretsyscall/getppid")
int on_getppid_return(struct pt_regs *ctx)
{
	if (ctx->di == -1 || ctx->si == -2 || ctx->dx == -3 || ctx->r10 == -4 || ctx->r8 == -5 || ctx->r9 == -6)
		count(2);
	return 0;
}

/* The third argument of every write and read, and what no program can change. */
SEC("tracepoint/raw_syscalls/sys_enter")
int on_every(struct trace_event_raw_sys_enter *ctx)
{
	switch (ctx->id) {
	case 0:
	case 1:
		if (ctx->args[2] == 77)
			ctx->args[2] = ctx->id ? 5 : 1;
		return 0;
	case 11:
	case 15:
	case 56:
	case 57:
	case 58:
	case 435:
		ctx->args[0] = 1;
		count(4);
	}
	return 0;
}

SEC("tp/raw_syscalls/sys_exit")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
	if (ctx->id == 257)
		count(5);
	return 0;
}

SEC("kretsyscall/openat")
int on_openat_return(struct pt_regs *ctx)
{
	count(is_marked(ctx->si) ? 6 : 7);
	return 0;
}

/* Answers calls whose arguments it has changed. */
SEC("ksyscall/getppid")
int on_getppid_answer(struct pt_regs *ctx)
{
	ctx->di = 7;
	ctx->r10 = 7;
	bpf_override_return(ctx, -4095);
	return 0;
}

SEC("ksyscall/clone")
int on_clone(struct pt_regs *ctx)
{
	ctx->di = 0;
	return 0;
}
