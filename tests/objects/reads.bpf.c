/* Reads where the first argument points to, and counts what came of it; the second is what should be there. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum { EFAULT = 14 };

static long (*bpf_probe_read)(void *to, __u32 size, const void *from) = (void *)4;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

__u64 done, failed, wrong;

static __always_inline void judge(long result, __u64 word, __u64 expected)
{
	if (result == 0)
		__sync_fetch_and_add(&done, 1);
	else if (result == -EFAULT)
		__sync_fetch_and_add(&failed, 1);
	/* What cannot be read is zero, as in the kernel. */
	if (result == 0 ? word != expected : result != -EFAULT || word != 0)
		__sync_fetch_and_add(&wrong, 1);
}

SEC("uprobe")
int on_touch(struct pt_regs *ctx)
{
	__u64 word = 1;
	long result = bpf_probe_read_user(&word, sizeof(word), (void *)ctx->di);

	judge(result, word, ctx->si);
	word = 1;
	result = bpf_probe_read(&word, sizeof(word), (void *)ctx->di);
	judge(result, word, ctx->si);
	word = 1;
	result = bpf_probe_read_kernel(&word, sizeof(word), (void *)ctx->di);
	judge(result, word, ctx->si);
	return 0;
}
