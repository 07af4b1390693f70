/* A function bypassed for one argument, and what it returned: in the sections that `load` reads. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

__u64 returned, returns;

SEC("uprobe.override/overridden:combine")
int on_combine(struct pt_regs *ctx)
{
	if (ctx->di == 0xabce)
		bpf_override_return(ctx, 77);
	return 0;
}

SEC("uretprobe/overridden:combine")
int on_combined(struct pt_regs *ctx)
{
	returned = ctx->ax;
	returns++;
	return 0;
}
