/* How often is a function called? For any function: --attach on_call=uprobe:BINARY:FUNCTION */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} calls SEC(".maps");

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u32 first = 0;
	__u64 *count = bpf_map_lookup_elem(&calls, &first);

	if (count)
		__sync_fetch_and_add(count, 1);
	return 0;
}
