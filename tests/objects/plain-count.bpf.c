/* A count without an atomic: lost updates are the program's own choice. Two slots, chosen by a bit of an argument. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__uint(value_size, 8);
} counts SEC(".maps");

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u32 key = ARG1(ctx) & 1;
	__u64 *value = bpf_map_lookup_elem(&counts, &key);

	if (value)
		*value += 1;
	return 0;
}
