/* Every helper, called for nothing but being called: what a function keeps in registers must not notice. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_probe_read)(void *to, __u32 size, const void *from) = (void *)4;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u64);
	__type(value, __u64);
} elements SEC(".maps");

__u64 sum;

/* Those that make no system call. */
static __always_inline __u64 call_plain(struct pt_regs *ctx)
{
	__u64 key = ctx->di & 31, value = ctx->si, *found;

	found = bpf_map_lookup_elem(&elements, &key);
	if (found)
		value += *found;
	bpf_map_update_elem(&elements, &key, &value, BPF_ANY);
	key ^= 7;
	bpf_map_delete_elem(&elements, &key);
	value += bpf_ktime_get_ns() + bpf_get_current_pid_tgid() + bpf_get_smp_processor_id() + bpf_get_prandom_u32();
	value += bpf_get_func_ip(ctx) + bpf_get_attach_cookie(ctx) + bpf_get_func_arg_cnt(ctx) + bpf_get_retval();
	bpf_get_func_arg(ctx, 1, &key);
	value += key;
	bpf_get_func_ret(ctx, &key);
	return value + key;
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	sum += call_plain(ctx);
	return 0;
}

/* Those that make one, and the one that prints. */
SEC("uprobe")
int on_call_slowly(struct pt_regs *ctx)
{
	__u64 word = 0;
	char comm[16];

	bpf_get_current_comm(comm, sizeof(comm));
	bpf_probe_read_user(&word, sizeof(word), (void *)8);
	bpf_probe_read(&word, sizeof(word), (void *)ctx->sp);
	bpf_probe_read_kernel(&word, sizeof(word), (void *)ctx->sp);
	bpf_printk("%d %lx", word, ctx->sp);
	sum += word + comm[0];
	return 0;
}

/* All of a program's stack in use. */
SEC("uprobe")
int on_call_deeply(struct pt_regs *ctx)
{
	char bytes[464];

	bpf_probe_read_user(bytes, sizeof(bytes), (void *)ctx->ip);
	sum += bytes[ctx->di & 0xff] + call_plain(ctx);
	return 0;
}

SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	sum += call_plain(ctx);
	return 0;
}

/* Returns in the function's place what it would return. */
SEC("uprobe.override")
int on_override(struct pt_regs *ctx)
{
	sum += call_plain(ctx);
	bpf_override_return(ctx, ctx->di + ctx->si);
	return 0;
}

SEC("uprobe.replace")
int on_replace(struct pt_regs *ctx)
{
	sum += call_plain(ctx);
	bpf_set_retval(ctx->di + ctx->si);
	return 0;
}
