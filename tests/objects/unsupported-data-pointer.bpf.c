/* Data that holds an address: only loading would know it. */
#include "bpf.h"

int number = 1;
int *pointer = &number;

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	return *pointer;
}
