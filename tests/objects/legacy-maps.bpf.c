/* Map definitions of before BTF: alone, behind each other, and with what one loader of them has behind each. */
#include "bpf.h"

struct bpf_map_def {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

struct long_map_def {
	struct bpf_map_def def;
	__u32 pinning;
	char name_space[256];
};

struct bpf_map_def counts SEC("maps") = { BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0 };
struct bpf_map_def others SEC("maps") = { BPF_MAP_TYPE_HASH, 8, 16, 100, BPF_F_NO_PREALLOC };
struct long_map_def alone SEC("maps/alone") = { { BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1, 0 } };

SEC("uprobe/calls:work")
int on_call(struct pt_regs *ctx)
{
	__u32 first = 0, second = 1;
	__u64 *all = bpf_map_lookup_elem(&counts, &second);
	__u64 *mine = bpf_map_lookup_elem(&alone, &first);
	__u64 key = 7, value[2] = { ARG1(ctx), ARG2(ctx) };

	if (all)
		__sync_fetch_and_add(all, 1);
	if (mine)
		*mine += 1;
	bpf_map_update_elem(&others, &key, value, BPF_ANY);
	return 0;
}
