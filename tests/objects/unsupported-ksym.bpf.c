/* A variable of the kernel, by its address: there is none in a process. */
#include "bpf.h"

extern const int bpf_prog_active __attribute__((section(".ksyms")));

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	return (long)&bpf_prog_active;
}
