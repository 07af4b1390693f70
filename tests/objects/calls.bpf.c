/* Subprograms: static and global, nested, shared by two programs, reached through a pointer. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static __noinline int store(__u32 key, __u64 value)
{
	__u64 *slot = bpf_map_lookup_elem(&results, &key);

	if (!slot)
		return -1;
	*slot = value;
	return 0;
}

__noinline int triple(int x)
{
	return x * 3;
}

__hidden __noinline int twice_triple(int x)
{
	return triple(x) + triple(x + 1);
}

static __noinline long unused_by_second(__u64 value)
{
	return store(1, value) + 0x1122334455667788ll;
}

SEC("uprobe/first")
int first(struct pt_regs *ctx)
{
	store(0, twice_triple(ARG1(ctx)));
	return unused_by_second(ARG2(ctx));
}

SEC("uprobe/second")
int second(struct pt_regs *ctx)
{
	return store(2, triple(ARG1(ctx)));
}
