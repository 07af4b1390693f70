/* Keeps the registers of the last hit, every field of pt_regs. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pt_regs);
} last SEC(".maps");

SEC("uprobe")
int on_hit(struct pt_regs *ctx)
{
	__u32 key = 0;
	struct pt_regs *regs = bpf_map_lookup_elem(&last, &key);

	if (regs)
		*regs = *ctx;
	return 0;
}
