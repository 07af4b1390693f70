/* Counts calls in slots that nobody else writes to meanwhile: plainly, slowly, and in a function. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct tally {
	__u64 calls;
	char name[8];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

__noinline int count_in_function(__u32 key)
{
	__u64 *count = bpf_map_lookup_elem(&counts, &key);

	if (count)
		*count += 1;
	return key;
}

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u32 plain = 0, slow = 1;
	struct tally *tally = bpf_map_lookup_elem(&tallies, &plain);
	__u64 *count = bpf_map_lookup_elem(&counts, &plain);

	if (count)
		*count += 1;
	count = bpf_map_lookup_elem(&counts, &slow);
	if (count) {
		__u64 old = *(volatile __u64 *)count;

		*(volatile __u64 *)count = old + (bpf_ktime_get_ns() ? 1 : 2);
	}
	if (tally) {
		tally->calls++;
		tally->name[0] = 'x';
	}
	count_in_function(2);
	return 0;
}
