/* Arguments at index registers, which libbpf's header knows from version 1.7 on: its table of them, as far as it differs. */
#include "bpf.h"

#define __kconfig __attribute__((section(".kconfig")))

enum __bpf_usdt_arg_type { BPF_USDT_ARG_CONST, BPF_USDT_ARG_REG, BPF_USDT_ARG_REG_DEREF, BPF_USDT_ARG_SIB };

struct __bpf_usdt_arg_spec {
	__u64 val_off;
	enum __bpf_usdt_arg_type arg_type : 8;
	__u16 idx_reg_off : 12;
	__u16 scale_bitshift : 4;
	__u8 reserved : 8;
	short reg_off;
	_Bool arg_signed;
	char arg_bitshift;
};

struct __bpf_usdt_spec {
	struct __bpf_usdt_arg_spec args[12];
	__u64 usdt_cookie;
	short arg_cnt;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, int);
	__type(value, struct __bpf_usdt_spec);
} __bpf_usdt_specs SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 4);
	__type(key, __u32);
	__type(value, __u64);
} sums SEC(".maps");

static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;

static __always_inline long argument(struct pt_regs *ctx, struct __bpf_usdt_spec *spec, int n)
{
	struct __bpf_usdt_arg_spec *arg = &spec->args[n];
	__u64 value = 0, index = 0;

	if (arg->arg_type != BPF_USDT_ARG_SIB)
		return 0;
	bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx + arg->reg_off);
	bpf_probe_read_kernel(&index, sizeof(index), (void *)ctx + arg->idx_reg_off);
	bpf_probe_read_user(&value, sizeof(value), (void *)(value + (index << arg->scale_bitshift) + arg->val_off));
	value <<= arg->arg_bitshift;
	return arg->arg_signed ? (long)value >> arg->arg_bitshift : value >> arg->arg_bitshift;
}

SEC("usdt/usdt:zoo:indexed")
int on_indexed(struct pt_regs *ctx)
{
	__u32 id = bpf_get_attach_cookie(ctx);
	struct __bpf_usdt_spec *spec = bpf_map_lookup_elem(&__bpf_usdt_specs, &id);

	if (!spec)
		return 0;
#pragma unroll
	for (__u32 n = 0; n < 4; n++) {
		__u32 key = n;
		__u64 *sum = bpf_map_lookup_elem(&sums, &key);

		if (sum)
			__sync_fetch_and_add(sum, n == 2 ? 1 : n == 3 ? spec->arg_cnt : argument(ctx, spec, n));
	}
	return 0;
}
