/* What programs at static probes need: arguments as libbpf lays them out in its map, found by the attach cookie. MIT. */
#ifndef REMORA_USDT_H
#define REMORA_USDT_H

#include "bpf.h"

struct usdt_arg {
	__u64 number;
	__u32 type; /* 0 constant, 1 register, 2 memory */
	short reg_off;
	__u8 is_signed;
	__u8 shift;
};

struct usdt_spec {
	struct usdt_arg args[12];
	__u64 cookie;
	short count;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct usdt_spec);
} __bpf_usdt_specs SEC(".maps");

static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

static __always_inline struct usdt_spec *usdt_spec(struct pt_regs *ctx)
{
	__u32 id = bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&__bpf_usdt_specs, &id);
}

static __always_inline long usdt_arg(struct pt_regs *ctx, const struct usdt_spec *spec, int n)
{
	const struct usdt_arg *arg = &spec->args[n];
	__u64 value = arg->number;

	if (arg->type != 0)
		bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx + arg->reg_off);
	if (arg->type == 2)
		bpf_probe_read_user(&value, sizeof(value), (void *)value + arg->number);
	value <<= arg->shift;
	return arg->is_signed ? (long)value >> arg->shift : value >> arg->shift;
}

#endif
