/* Writes down the cookies of its links in the order they ran, as long as there is room. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 128);
	__type(key, __u32);
	__type(value, __u64);
} order SEC(".maps");

__u32 count;

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u32 key = __sync_fetch_and_add(&count, 1);
	__u64 *place = bpf_map_lookup_elem(&order, &key);

	if (place)
		*place = bpf_get_attach_cookie(ctx);
	return 0;
}
