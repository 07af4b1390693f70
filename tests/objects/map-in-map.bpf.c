/* Maps in maps: arrays that a map chooses between, hashes by a name of their own, per-CPU values and rings among them. */
#include "bpf.h"

struct counts {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} first SEC(".maps"), second SEC(".maps");

/* Of the same shape but for the number of its values. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 5);
	__type(key, __u32);
	__type(value, __u64);
} longer SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct counts);
} chosen SEC(".maps") = { .values = { [0] = &first, [2] = &second } };

struct tallies {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16);
	__type(key, __u64);
	__type(value, __u64);
} odd SEC(".maps"), even SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__uint(max_entries, 4);
	__type(key, __u32);
	__array(values, struct tallies);
} named SEC(".maps") = { .values = { [0] = &even, [1] = &odd } };

/* How often there was no map, and how often an update failed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static __always_inline void note(__u32 what)
{
	__u64 *value = bpf_map_lookup_elem(&outcomes, &what);

	if (value)
		*value += 1;
}

/* Adds one to value 3 of the array of place n & 3, and to entry n & 7 of the hash of n & 1. */
SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u32 place = ARG1(ctx) & 3, name = ARG1(ctx) & 1, at = 3;
	__u64 entry = ARG1(ctx) & 7, one = 1;
	void *counts = bpf_map_lookup_elem(&chosen, &place);
	void *tallies = bpf_map_lookup_elem(&named, &name);
	__u64 *value;

	if (counts) {
		value = bpf_map_lookup_elem(counts, &at);
		if (value)
			__sync_fetch_and_add(value, 1);
	} else {
		note(0);
	}
	if (!tallies)
		return 0;
	value = bpf_map_lookup_elem(tallies, &entry);
	if (value)
		*value += 1;
	else if (bpf_map_update_elem(tallies, &entry, &one, BPF_ANY))
		note(1);
	return 1;
}

char LICENSE[] SEC("license") = "MIT";
