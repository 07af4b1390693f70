/* Records the arguments of a static probe: the sums of each, how many there are, and the cookie. */
#include "usdt.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 8);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

static __always_inline void add(__u32 key, __u64 number)
{
	__u64 *sum = bpf_map_lookup_elem(&sums, &key);

	if (sum)
		__sync_fetch_and_add(sum, number);
}

SEC("usdt/usdt:zoo:fed")
int on_fed(struct pt_regs *ctx)
{
	struct usdt_spec *spec = usdt_spec(ctx);

	if (!spec)
		return 0;
	add(0, 1);
	add(1, usdt_arg(ctx, spec, 0));
	add(2, usdt_arg(ctx, spec, 1));
	add(3, usdt_arg(ctx, spec, 2));
	add(4, usdt_arg(ctx, spec, 3));
	add(5, spec->count);
	add(6, spec->cookie);
	return 0;
}
