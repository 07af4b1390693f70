/* Keeps traces of the stack by their numbers, counts them, and keeps the latest whole; with less of it on request. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

enum { DEPTH = 20, TRACES = 65536, ROOM = 6 };

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	/* So many that no two of a test have one number. */
	__uint(max_entries, TRACES);
	__uint(key_size, 4);
	__uint(value_size, DEPTH * 8);
} traces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __s64);
	__type(value, __u64);
} counts SEC(".maps");

struct latest {
	__s64 size;
	__u64 addresses[ROOM];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, struct latest);
} latest SEC(".maps");

static __noinline int keep(void *ctx, __u64 flags)
{
	__s64 id = bpf_get_stackid(ctx, &traces, flags);
	__u64 one = 1, *count = bpf_map_lookup_elem(&counts, &id);

	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&counts, &id, &one, BPF_NOEXIST) && (count = bpf_map_lookup_elem(&counts, &id)))
		__sync_fetch_and_add(count, 1);
	return 0;
}

static __always_inline void copy(void *ctx, __u32 slot, __u64 flags)
{
	struct latest *to = bpf_map_lookup_elem(&latest, &slot);

	if (to)
		to->size = bpf_get_stack(ctx, to->addresses, sizeof(to->addresses), flags);
}

SEC("uprobe")
int on_leaf(struct pt_regs *ctx)
{
	keep(ctx, BPF_F_USER_STACK);
	copy(ctx, 0, BPF_F_USER_STACK);
	copy(ctx, 1, BPF_F_USER_STACK | 2);
	copy(ctx, 2, 0);
	copy(ctx, 3, 1ULL << 63);
	return 0;
}

SEC("uprobe")
int on_leaf_kernel(struct pt_regs *ctx)
{
	return keep(ctx, 0);
}

SEC("uprobe")
int on_leaf_deep(struct pt_regs *ctx)
{
	return keep(ctx, BPF_F_USER_STACK | 200);
}

SEC("uretprobe")
int on_leaf_return(struct pt_regs *ctx)
{
	return keep(ctx, BPF_F_USER_STACK);
}

SEC("tracepoint/syscalls/sys_enter_getppid")
int on_getppid(void *ctx)
{
	return keep(ctx, BPF_F_USER_STACK);
}
