/* Calls by argument: lookup, insert and delete in a hash. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 10240);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} calls SEC(".maps");

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u64 key = ARG1(ctx), one = 1;
	__u64 *value = bpf_map_lookup_elem(&calls, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	else
		bpf_map_update_elem(&calls, &key, &one, BPF_NOEXIST);
	return 0;
}

SEC("uprobe")
int on_forget(struct pt_regs *ctx)
{
	__u64 key = ARG1(ctx);

	bpf_map_delete_elem(&calls, &key);
	return 0;
}
