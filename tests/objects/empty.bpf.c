/* Does nothing: what an attachment itself costs. No license, no maps. */
#include "bpf.h"

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	return 0;
}
