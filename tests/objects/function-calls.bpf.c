/* What programs see and change of a function call: at its entry, at its return, and in its place. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

enum { ENTRIES, ENTRY_ARG1, ENTRY_ARG2, ENTRY_IP, RETURNS, RETURN_AX, RETURN_IP, RETURN_FUNC_IP, RETURN_VALUE, RETVAL };

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 24);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

static __always_inline void put(__u32 key, __u64 value)
{
	__u64 *slot = bpf_map_lookup_elem(&seen, &key);

	if (slot)
		*slot = value;
}

static __always_inline void count(__u32 key)
{
	__u64 *slot = bpf_map_lookup_elem(&seen, &key);

	if (slot)
		__sync_fetch_and_add(slot, 1);
}

SEC("uprobe")
int on_entry(struct pt_regs *ctx)
{
	count(ENTRIES);
	put(ENTRY_ARG1, ctx->di);
	put(ENTRY_ARG2, ctx->si);
	put(ENTRY_IP, bpf_get_func_ip(ctx));
	return 0;
}

SEC("uretprobe")
int on_return(struct pt_regs *ctx)
{
	__u64 value = 0;

	count(RETURNS);
	put(RETURN_AX, ctx->ax);
	put(RETURN_IP, ctx->ip);
	put(RETURN_FUNC_IP, bpf_get_func_ip(ctx));
	bpf_get_func_ret(ctx, &value);
	put(RETURN_VALUE, value);
	put(RETVAL, bpf_get_retval());
	return 0;
}

/* What bpf_get_func_arg and its kin answer, from slot 10 on. */
SEC("uprobe")
int on_arguments(struct pt_regs *ctx)
{
	__u64 value = 0;

	for (__u32 n = 0; n < 7; n++) {
		value = 0;
		put(10 + n, bpf_get_func_arg(ctx, n, &value) ? (__u64)-1 : value);
	}
	put(17, bpf_get_func_arg_cnt(ctx));
	put(18, bpf_get_func_ret(ctx, &value));
	put(19, bpf_get_retval());
	return 0;
}

/* field.md's case: sets a + b when a is 0xabce, else the original runs. */
SEC("uprobe.override")
int on_override(struct pt_regs *ctx)
{
	count(ENTRIES);
	if (ctx->di == 0xabce)
		bpf_override_return(ctx, ctx->di + ctx->si);
	put(RETVAL, bpf_get_retval());
	return 0;
}

static __noinline long maybe_override(struct pt_regs *ctx, long limit)
{
	if ((long)ctx->di >= limit)
		return 0;
	return bpf_override_return(ctx, 7);
}

SEC("uprobe.override")
int on_override_in_function(struct pt_regs *ctx)
{
	return maybe_override(ctx, 100);
}

SEC("uprobe.replace")
long on_replace(struct pt_regs *ctx)
{
	count(ENTRIES);
	return ctx->di + ctx->si;
}

SEC("uprobe.replace")
long on_replace_set(struct pt_regs *ctx)
{
	bpf_set_retval(ctx->di - ctx->si);
	return 1;
}

SEC("uprobe")
int on_write_argument(struct pt_regs *ctx)
{
	if (ctx->si & 1)
		ctx->di += 1000;
	return 0;
}

SEC("uretprobe")
int on_write_result(struct pt_regs *ctx)
{
	ctx->ax = -ctx->ax;
	return 0;
}

SEC("uprobe")
int on_write_ip(struct pt_regs *ctx)
{
	ctx->ip = 0;
	return 0;
}
