/* The address of a subprogram as a value: BPF_PSEUDO_FUNC. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

static long (*bpf_loop)(__u32 count, void *callback, void *data, __u64 flags) = (void *)181;

static long step(__u32 index, void *data)
{
	*(__u64 *)data += index;
	return 0;
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u64 sum = 0;

	bpf_loop(10, step, &sum, 0);
	return sum;
}
