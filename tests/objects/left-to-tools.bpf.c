/* What objects leave to the tool that loads them: where programs run, how deep traces are, how large a ring is. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	__uint(key_size, sizeof(__u32));
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
} events SEC(".maps");

SEC("uprobe/calls:work")
int on_work(struct pt_regs *ctx)
{
	__s64 trace = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);

	bpf_ringbuf_output(&events, &trace, sizeof(trace), 0);
	return 0;
}

SEC("uprobe")
int on_anything(struct pt_regs *ctx)
{
	return 0;
}

/* The word is only for whoever reads it. */
SEC("uretprobe/work_returns")
int on_return(struct pt_regs *ctx)
{
	return 0;
}
