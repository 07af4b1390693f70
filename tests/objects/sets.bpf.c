/* Sets that arguments are looked for in: the longest prefix that an address has, and values that were seen. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

static long (*bpf_map_peek_value)(void *map, const void *value) = (void *)89;

struct prefix {
	__u32 length;
	__u8 address[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 64);
	__type(key, struct prefix);
	__type(value, __u32);
} networks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} classes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
	__uint(max_entries, 20000);
	/* As libbpf's __ulong has it: three hashes. */
	enum { hashes = 3 } map_extra;
	__type(value, __u64);
} seen SEC(".maps");

__u64 odd;

/* Addresses 10.1.0.0 and those behind it; the class is 0 where no network has it. */
SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	__u32 number = ARG1(ctx), class = 0, *found;
	struct prefix address = {.length = 32, .address = {10, 1, number >> 8, number}};
	__u64 *count, value = bpf_get_current_pid_tgid() << 32 | number;

	found = bpf_map_lookup_elem(&networks, &address);
	if (found)
		class = *found;
	count = bpf_map_lookup_elem(&classes, &class);
	if (count)
		__sync_fetch_and_add(count, 1);

	if (bpf_map_push_elem(&seen, &value, BPF_EXIST) != -22 || bpf_map_push_elem(&seen, &value, BPF_ANY))
		__sync_fetch_and_add(&odd, 1);
	if (bpf_map_peek_value(&seen, &value))
		__sync_fetch_and_add(&odd, 1);
	return 0;
}

/* The first number of each odd block of 256 makes a network of it, the first of the next takes it away. */
SEC("uprobe")
int on_change(struct pt_regs *ctx)
{
	__u32 number = ARG1(ctx), class = 7;
	struct prefix network = {.length = 24, .address = {10, 1, number >> 8, 77}}, odd_one = {.length = 33};

	if (bpf_map_update_elem(&networks, &odd_one, &class, BPF_ANY) != -22)
		__sync_fetch_and_add(&odd, 1);
	if (number & 0xff)
		return 0;
	if (number & 0x100) {
		bpf_map_update_elem(&networks, &network, &class, BPF_ANY);
	} else {
		network.address[2]--;
		bpf_map_delete_elem(&networks, &network);
	}
	return 0;
}
