/* A field access to be relocated by the target's BTF, beside a program that needs none. */
#include "bpf.h"

struct task {
	int pid;
} __attribute__((preserve_access_index));

SEC("uprobe/core")
int with_core(struct pt_regs *ctx)
{
	struct task *task = (void *)ARG1(ctx);
	int pid = 0;

	bpf_probe_read_user(&pid, sizeof(pid), &task->pid);
	return pid;
}

SEC("uprobe/plain")
int without_core(struct pt_regs *ctx)
{
	return 0;
}
