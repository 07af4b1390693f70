/* Programs at system calls: what each kind sees, and how often each call is made. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

/* Linux include/trace/events/syscalls.h; what vmlinux.h calls them */
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
struct bpf_raw_tracepoint_args {
	__u64 args[2];
};

static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

#define NUMBERS 512

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NUMBERS);
	__type(key, __u32);
	__type(value, __u64);
} entered SEC(".maps"), left SEC(".maps");

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

static __always_inline void count(void *map, long id)
{
	__u32 number = id < 0 || id >= NUMBERS ? NUMBERS - 1 : id;
	__u64 *calls = bpf_map_lookup_elem(map, &number);

	if (calls)
		__sync_fetch_and_add(calls, 1);
}

SEC("tracepoint/raw_syscalls/sys_enter")
int on_enter(struct trace_event_raw_sys_enter *ctx)
{
	count(&entered, ctx->id);
	return 0;
}

SEC("tp/raw_syscalls/sys_exit")
int on_exit(struct trace_event_raw_sys_exit *ctx)
{
	count(&left, ctx->id);
	return 0;
}

SEC("tracepoint/syscalls/sys_enter_mmap")
int on_enter_mmap(struct trace_event_raw_sys_enter *ctx)
{
	see(0, ctx->id);
	see(1, ctx->args[0]);
	see(2, ctx->args[1]);
	see(3, ctx->args[2]);
	see(4, ctx->args[3]);
	see(5, ctx->args[4]);
	see(6, ctx->args[5]);
	return 0;
}

SEC("tracepoint/syscalls/sys_exit_mmap")
int on_exit_mmap(struct trace_event_raw_sys_exit *ctx)
{
	see(7, ctx->id);
	see(8, ctx->ret);
	return 0;
}

SEC("ksyscall/mmap")
int on_mmap(struct pt_regs *ctx)
{
	see(0, ctx->orig_ax);
	see(1, ctx->di);
	see(2, ctx->si);
	see(3, ctx->dx);
	see(4, ctx->r10);
	see(5, ctx->r8);
	see(6, ctx->r9);
	see(9, ctx->ip);
	return 0;
}

SEC("kretsyscall/mmap")
int on_mmap_return(struct pt_regs *ctx)
{
	see(7, ctx->orig_ax);
	see(8, ctx->ax);
	return 0;
}

SEC("raw_tp/sys_enter")
int on_raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs regs;

	if (ctx->args[1] != 9 || bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]))
		return 0;
	see(0, regs.orig_ax);
	see(1, regs.di);
	see(2, regs.si);
	see(3, regs.dx);
	see(4, regs.r10);
	see(5, regs.r8);
	see(6, regs.r9);
	see(9, regs.ip);
	return 0;
}

SEC("raw_tracepoint/sys_exit")
int on_raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	struct pt_regs regs;

	if (bpf_probe_read_kernel(&regs, sizeof(regs), (void *)ctx->args[0]) || regs.orig_ax != 9)
		return 0;
	see(7, regs.orig_ax);
	see(8, ctx->args[1]);
	return 0;
}

/* Every third call is answered here and not made. */
SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(struct trace_event_raw_sys_enter *ctx)
{
	__u32 slot = 10;
	__u64 *calls = bpf_map_lookup_elem(&seen, &slot);

	if (calls && ++*calls % 3 == 0)
		bpf_override_return((struct pt_regs *)ctx, -4095);
	return 0;
}

/* What was answered with -4095 becomes -1; all other results stay. */
SEC("tracepoint/syscalls/sys_exit_getppid")
int on_getppid_exit(struct trace_event_raw_sys_exit *ctx)
{
	if (ctx->ret == -4095)
		ctx->ret = -1;
	return 0;
}

/* No program may answer what does not come back. */
SEC("ksyscall/exit_group")
int on_exit_group(struct pt_regs *ctx)
{
	see(11, bpf_override_return(ctx, 0));
	return 0;
}
