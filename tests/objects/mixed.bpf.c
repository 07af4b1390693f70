/* Programs of which not all are for processes, as tools have them that look into the kernel as well. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps"), kernels SEC(".maps"), unused SEC(".maps");

static __always_inline int count(void *map)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(map, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("uprobe/calls:work")
int on_work(struct pt_regs *ctx)
{
	return count(&counts);
}

SEC("kprobe/do_exit")
int on_exit(struct pt_regs *ctx)
{
	return count(&counts) + count(&kernels);
}

/* Reads what only the kernel's own context has. */
SEC("fentry/do_exit")
int on_exit_code(__u64 *ctx)
{
	return *(int *)(ctx[0] + 8) + count(&kernels);
}

SEC("?uprobe/calls:work_push")
int on_push(struct pt_regs *ctx)
{
	return count(&counts);
}
