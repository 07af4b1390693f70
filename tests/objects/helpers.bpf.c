/* One call of every helper, each result in a slot of its own. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static __always_inline void put(__u32 key, __u64 result)
{
	bpf_map_update_elem(&results, &key, &result, BPF_ANY);
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	__u64 word = 0;
	char comm[16] = {};

	put(0, bpf_ktime_get_ns());
	put(1, bpf_get_current_pid_tgid());
	put(2, bpf_get_smp_processor_id());
	put(3, bpf_get_prandom_u32());
	put(4, bpf_get_func_ip(ctx));
	put(5, bpf_get_attach_cookie(ctx));
	put(6, bpf_get_current_comm(comm, sizeof(comm)));
	put(7, *(__u64 *)comm);
	put(8, bpf_probe_read_user(&word, sizeof(word), (void *)ARG1(ctx)));
	put(9, word);
	put(10, bpf_probe_read_user(&word, sizeof(word), (void *)8));
	return 0;
}
