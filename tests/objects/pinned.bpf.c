/* Counts in maps that ask to outlive the object. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

enum { LIBBPF_PIN_BY_NAME = 1 };

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u64);
	__type(value, __u64);
} calls SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 2);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(key, __u32);
	__type(value, __u64);
} totals SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 4);
	__uint(pinning, LIBBPF_PIN_BY_NAME);
	__type(value, __u32);
} latest SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(pinning, 0);
	__type(key, __u32);
	__type(value, __u64);
} forgotten SEC(".maps");

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u64 key = ARG1(ctx) % 8, one = 1, *count;
	__u32 first = 0, number = key;

	count = bpf_map_lookup_elem(&calls, &key);
	if (count)
		__sync_fetch_and_add(count, 1);
	else
		bpf_map_update_elem(&calls, &key, &one, BPF_ANY);
	count = bpf_map_lookup_elem(&totals, &first);
	if (count)
		*count += 1;
	count = bpf_map_lookup_elem(&forgotten, &first);
	if (count)
		__sync_fetch_and_add(count, 1);
	bpf_map_push_elem(&latest, &number, BPF_EXIST);
	return 0;
}
