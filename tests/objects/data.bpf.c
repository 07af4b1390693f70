/* Global variables of every section: constants, configuration, initialised, zeroed, and sections with names of their own. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

const volatile __u32 threshold = 100;
const volatile char label[8] = "remora";
__u64 total = 1000;
static volatile __s32 last = -1;
__u64 seen;
__u32 histogram[4];
__u64 apart SEC(".data.apart") = 7;
__u64 blank SEC(".bss.blank");

struct limits {
	__u32 low, high;
};
const volatile struct limits limits = { 10, 20 };

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u64 size = ARG1(ctx);

	__sync_fetch_and_add(&seen, 1);
	if (size < threshold)
		return 0;
	__sync_fetch_and_add(&total, size);
	last = size;
	histogram[size & 3]++;
	apart += limits.high - limits.low;
	blank += label[size & 7];
	return 0;
}
