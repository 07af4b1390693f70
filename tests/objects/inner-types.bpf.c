/* Maps of maps of every type whose elements programs use: each visit adds one to a map that its argument chooses. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define OUTER(outer, template)                            \
	struct {                                          \
		__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS); \
		__uint(max_entries, 2);                   \
		__type(key, __u32);                       \
		__array(values, struct template);         \
	} outer SEC(".maps") = { .values = { [1] = &outer##_1 } }

#define TABLE(outer, template, kind, key_type)        \
	struct template {                                 \
		__uint(type, BPF_MAP_TYPE_##kind);        \
		__uint(max_entries, 64);                  \
		__uint(map_flags, flags_of_##template);   \
		__type(key, key_type);                    \
		__type(value, __u64);                     \
	} outer##_1 SEC(".maps");                         \
	OUTER(outer, template)

struct prefix {
	__u32 bits;
	__u8 bytes[4];
};

enum { flags_of_hash = 0, flags_of_recent = 0, flags_of_slot = 0, flags_of_trie = BPF_F_NO_PREALLOC };

TABLE(hashes, hash, HASH, __u64);
TABLE(recents, recent, LRU_HASH, __u64);
TABLE(slots, slot, PERCPU_ARRAY, __u32);
TABLE(tries, trie, LPM_TRIE, struct prefix);

struct ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 1 << 16);
} rings_1 SEC(".maps");
OUTER(rings, ring);

struct queue {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, 64);
	__type(value, __u64);
} queues_1 SEC(".maps");
OUTER(queues, queue);

struct stack {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 64);
	__type(value, __u64);
} stacks_1 SEC(".maps");
OUTER(stacks, stack);

/* How often a queue or a stack was full, and how often anything else failed. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} failures SEC(".maps");

static __always_inline void fail(__u32 what)
{
	__u64 *count = bpf_map_lookup_elem(&failures, &what);

	if (count)
		__sync_fetch_and_add(count, 1);
}

static __always_inline void add(void *map, const void *key)
{
	__u64 zero = 0, *count = bpf_map_lookup_elem(map, key);

	if (!count) {
		bpf_map_update_elem(map, key, &zero, BPF_NOEXIST);
		count = bpf_map_lookup_elem(map, key);
	}
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		fail(2);
}

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u32 place = ARG1(ctx) & 1, at = 3;
	__u64 number = ARG1(ctx), key = number & 15, *value;
	struct prefix prefix = { .bits = 32, .bytes = { 10, 0, 0, number & 15 } };
	void *map;

	map = bpf_map_lookup_elem(&hashes, &place);
	if (map)
		add(map, &key);
	map = bpf_map_lookup_elem(&recents, &place);
	if (map)
		add(map, &key);
	map = bpf_map_lookup_elem(&tries, &place);
	if (map)
		add(map, &prefix);
	map = bpf_map_lookup_elem(&slots, &place);
	if (map) {
		value = bpf_map_lookup_elem(map, &at);
		if (value)
			*value += 1;
	}
	map = bpf_map_lookup_elem(&rings, &place);
	if (map)
		bpf_ringbuf_output(map, &number, sizeof(number), 0);
	map = bpf_map_lookup_elem(&queues, &place);
	if (map && bpf_map_push_elem(map, &number, BPF_ANY))
		fail(0);
	map = bpf_map_lookup_elem(&stacks, &place);
	if (map && bpf_map_push_elem(map, &number, BPF_ANY))
		fail(1);
	return 0;
}
