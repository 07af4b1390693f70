/* Map definitions of before BTF. */
#include "bpf.h"

struct bpf_map_def {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def old SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 8, 1, 0 };

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&old, &key) != 0;
}
