/* Sends an event for each call of work(a, b): reserved and submitted, copied, and some discarded. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct event {
	__u64 number;
	__u32 tid;
	char name[12];
};

struct pair {
	__u32 a, b;
};

/* Keeps the type in BTF: nothing else names it. */
const struct event *unused_event __attribute__((unused));

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
} events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
	__type(value, struct pair);
} pairs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERF_EVENT_ARRAY);
	__uint(key_size, 4);
	__uint(value_size, 4);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} facts SEC(".maps");

/* Every fourth event is taken back. */
SEC("uprobe")
int on_reserve(struct pt_regs *ctx)
{
	struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);

	if (!event)
		return 0;
	event->number = ARG1(ctx);
	event->tid = bpf_get_current_pid_tgid();
	__builtin_memcpy(event->name, "work\x1b[31m!", 11);
	event->name[11] = 0;
	if (ARG1(ctx) % 4 == 3)
		bpf_ringbuf_discard(event, 0);
	else
		bpf_ringbuf_submit(event, 0);
	return 0;
}

SEC("uprobe")
int on_output(struct pt_regs *ctx)
{
	struct pair pair = { ARG1(ctx), ARG2(ctx) };

	bpf_ringbuf_output(&pairs, &pair, sizeof(pair), BPF_RB_NO_WAKEUP);
	return 0;
}

SEC("uprobe")
int on_sample(struct pt_regs *ctx)
{
	struct pair pair = { ARG1(ctx), ARG2(ctx) };

	bpf_perf_event_output(ctx, &samples, BPF_F_CURRENT_CPU, &pair, sizeof(pair));
	return 0;
}

/* What the kernel answers to calls that it refuses, and to questions. */
SEC("uprobe")
int on_odd(struct pt_regs *ctx)
{
	static char large[5000];
	struct pair pair = { 1, 2 };
	__u64 answers[8] = {
		bpf_ringbuf_output(&pairs, &pair, sizeof(pair), 4),
		bpf_ringbuf_output(&pairs, large, sizeof(large), 0),
		bpf_perf_event_output(ctx, &samples, 1ull << 40, &pair, sizeof(pair)),
		bpf_ringbuf_query(&pairs, BPF_RB_RING_SIZE),
		bpf_ringbuf_query(&pairs, BPF_RB_AVAIL_DATA),
		bpf_ringbuf_query(&pairs, BPF_RB_CONS_POS),
		bpf_ringbuf_query(&pairs, BPF_RB_PROD_POS),
		bpf_ringbuf_query(&pairs, 9),
	};

#pragma unroll
	for (__u32 n = 0; n < 8; n++) {
		__u32 key = n;

		bpf_map_update_elem(&facts, &key, &answers[n], BPF_ANY);
	}
	return 0;
}
