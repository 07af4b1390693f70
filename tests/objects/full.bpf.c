/* Writes more keys into a map than there is room for, and counts what comes back. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 100);
	__type(key, __u64);
	__type(value, __u64);
} small SEC(".maps");

enum { ADDED, WAS_THERE, FULL, ODD, OUTCOMES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u64 key = ARG1(ctx) % 300, value = key;
	long result = bpf_map_update_elem(&small, &key, &value, BPF_NOEXIST);
	__u32 outcome = result == 0 ? ADDED : result == -17 ? WAS_THERE : result == -7 ? FULL : ODD;
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
	return 0;
}
