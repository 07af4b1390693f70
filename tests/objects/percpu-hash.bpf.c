/* Counts visits by key in slots that nobody else writes to meanwhile: by a pointer, and by updates. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} counts SEC(".maps");

struct tally {
	__u64 calls, same;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct tally);
} tallies SEC(".maps");

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u64 key = bpf_get_prandom_u32() % 16, zero = 0;
	__u64 *count = bpf_map_lookup_elem(&counts, &key);
	__u32 thread = bpf_get_current_pid_tgid();
	struct tally fresh = {}, *tally;

	if (!count) {
		bpf_map_update_elem(&counts, &key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(&counts, &key);
	}
	if (count)
		*count += 1;

	tally = bpf_map_lookup_elem(&tallies, &thread);
	if (tally)
		fresh = *tally;
	fresh.calls++;
	fresh.same++;
	bpf_map_update_elem(&tallies, &thread, &fresh, BPF_ANY);
	return 0;
}
