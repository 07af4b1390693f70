/* Puts a new key into a full map at each visit, and counts in one that stays because every visit looks at it. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 100);
	__type(key, __u64);
	__type(value, __u64);
} recent SEC(".maps");

enum { MADE, ODD, OUTCOMES };

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OUTCOMES);
	__type(key, __u32);
	__type(value, __u64);
} outcomes SEC(".maps");

static __always_inline void tell(__u32 outcome)
{
	__u64 *count = bpf_map_lookup_elem(&outcomes, &outcome);

	if (count)
		*count += 1;
}

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u64 fixed = 0, one = 1, number = bpf_ktime_get_ns();
	__u64 *count = bpf_map_lookup_elem(&recent, &fixed);

	if (count)
		__sync_fetch_and_add(count, 1);
	else if (bpf_map_update_elem(&recent, &fixed, &one, BPF_NOEXIST) == 0)
		tell(MADE);
	else if ((count = bpf_map_lookup_elem(&recent, &fixed)))
		__sync_fetch_and_add(count, 1);
	if (bpf_map_update_elem(&recent, &number, &number, BPF_ANY))
		tell(ODD);
	return 0;
}
