/* Which sizes does a process ask malloc for, and how often? */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

/* Size in bytes -> calls. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, __u64);
	__type(value, __u64);
} sizes SEC(".maps");

/* All calls, the sizes that no longer fitted in the table included. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} total SEC(".maps");

SEC("uprobe/libc.so.6:malloc")
int on_malloc(struct pt_regs *ctx)
{
	__u64 size = ARG1(ctx), one = 1, *count;
	__u32 first = 0;

	count = bpf_map_lookup_elem(&total, &first);
	if (count)
		__sync_fetch_and_add(count, 1);

	count = bpf_map_lookup_elem(&sizes, &size);
	/* Another thread may insert the same size between lookup and update: then add to what it inserted. */
	if (!count && bpf_map_update_elem(&sizes, &size, &one, BPF_NOEXIST) != 0)
		count = bpf_map_lookup_elem(&sizes, &size);
	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
