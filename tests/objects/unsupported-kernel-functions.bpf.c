/* Calls of kernel functions that are not here: one that must be there, one that the program asks about first. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define __ksym __attribute__((section(".ksyms")))

extern void *bpf_task_from_pid(int pid) __ksym;
extern void bpf_task_release(void *task) __ksym;
extern int bpf_strnstr(const char *text, const char *part, __u64 size) __weak __ksym;

SEC("uprobe")
int must(struct pt_regs *ctx)
{
	void *task = bpf_task_from_pid(1);

	if (task)
		bpf_task_release(task);
	return 0;
}

SEC("uprobe")
int may(struct pt_regs *ctx)
{
	return bpf_strnstr ? bpf_strnstr("ab", "b", 2) : 7;
}

SEC("uprobe")
int may_not(struct pt_regs *ctx)
{
	return bpf_strnstr("ab", "b", 2);
}
