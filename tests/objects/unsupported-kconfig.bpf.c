/* A kernel setting as a variable: .kconfig is the kernel's business. */
#include "bpf.h"

extern int CONFIG_HZ __attribute__((section(".kconfig")));

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	return CONFIG_HZ;
}
