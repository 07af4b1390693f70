/* Fills a queue that nobody empties, drops the oldest of another, and gives a stack back what it took. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct event {
	__u64 number, same;
	__u32 thread;
};

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 1000);
	__type(value, struct event);
} filled SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 16);
	__type(value, __u64);
} latest SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__type(value, __u64);
} spares SEC(".maps");

enum { PUSHED, FULL, GIVEN, TAKEN, EMPTY, ODD, OUTCOMES };

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
	__u64 number = bpf_ktime_get_ns(), spare = 0;
	struct event event = { number, number, bpf_get_current_pid_tgid() }, first;
	long result = bpf_map_push_elem(&filled, &event, BPF_ANY);

	tell(result == 0 ? PUSHED : result == -7 ? FULL : ODD);
	if (bpf_map_peek_elem(&filled, &first) || first.number != first.same)
		tell(ODD);
	if (bpf_map_push_elem(&latest, &number, BPF_EXIST))
		tell(ODD);
	if (bpf_map_push_elem(&filled, &event, BPF_NOEXIST) != -22)
		tell(ODD);

	result = bpf_map_pop_elem(&spares, &spare);
	tell(result == 0 ? TAKEN : result == -2 && spare == 0 ? EMPTY : ODD);
	number = 7;
	if (bpf_map_push_elem(&spares, &number, BPF_ANY) == 0)
		tell(GIVEN);
	if (result == 0 && spare != 7)
		tell(ODD);
	return 0;
}
