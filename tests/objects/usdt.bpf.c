/* Records the arguments of static probes, by libbpf's own header: how often each was passed, and the sum of each argument. */
#include <linux/bpf.h>
#include <linux/ptrace.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>
#include <bpf/usdt.bpf.h>

char LICENSE[] SEC("license") = "Dual MIT/GPL";

struct sums {
	__u64 passed, arguments[12], count, cookie, refused;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, struct sums);
} sums SEC(".maps");

static __always_inline struct sums *passed(struct pt_regs *ctx, __u32 key)
{
	struct sums *sum = bpf_map_lookup_elem(&sums, &key);
	long none;

	if (!sum)
		return 0;
	__sync_fetch_and_add(&sum->passed, 1);
	__sync_fetch_and_add(&sum->count, bpf_usdt_arg_cnt(ctx));
	__sync_fetch_and_add(&sum->cookie, bpf_usdt_cookie(ctx));
	__sync_fetch_and_add(&sum->refused, bpf_usdt_arg(ctx, bpf_usdt_arg_cnt(ctx), &none) == -ENOENT);
	return sum;
}

#define ADD(sum, n, arg) __sync_fetch_and_add(&(sum)->arguments[n], (__u64)(arg))

SEC("usdt/usdt:zoo:fed")
int BPF_USDT(on_fed, int animal, long food, short weight, int seven)
{
	struct sums *sum = passed(ctx, 0);

	if (!sum)
		return 0;
	ADD(sum, 0, (long)animal);
	ADD(sum, 1, food);
	ADD(sum, 2, (long)weight);
	ADD(sum, 3, seven);
	return 0;
}

SEC("usdt/usdt:zoo:dozen")
int BPF_USDT(on_dozen, long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l)
{
	struct sums *sum = passed(ctx, 1);

	if (!sum)
		return 0;
	ADD(sum, 0, a);
	ADD(sum, 1, b);
	ADD(sum, 2, c);
	ADD(sum, 3, d);
	ADD(sum, 4, e);
	ADD(sum, 5, f);
	ADD(sum, 6, g);
	ADD(sum, 7, h);
	ADD(sum, 8, i);
	ADD(sum, 9, j);
	ADD(sum, 10, k);
	ADD(sum, 11, l);
	return 0;
}

/* Of python3: collections of garbage, the generations collected, and what was found. */
SEC("usdt/python3:python:gc__start")
int BPF_USDT(on_gc_start, int generation)
{
	__u32 key = 2;
	struct sums *sum = bpf_map_lookup_elem(&sums, &key);

	if (!sum)
		return 0;
	__sync_fetch_and_add(&sum->passed, 1);
	ADD(sum, 0, generation);
	return 0;
}

SEC("usdt/python3:python:gc__done")
int BPF_USDT(on_gc_done, long found)
{
	__u32 key = 2;
	struct sums *sum = bpf_map_lookup_elem(&sums, &key);

	if (sum)
		ADD(sum, 1, found);
	return 0;
}
