/* Loops over numbers by open-coded iterators: bpf_for, bpf_repeat and what they are made of, as libbpf writes them. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

#define __ksym __attribute__((section(".ksyms")))

struct bpf_iter_num {
	__u64 opaque[1];
} __attribute__((aligned(8)));

extern int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end) __weak __ksym;
extern int *bpf_iter_num_next(struct bpf_iter_num *it) __weak __ksym;
extern void bpf_iter_num_destroy(struct bpf_iter_num *it) __weak __ksym;
/* Not here: nobody may come to it. */
extern int bpf_task_release(void *task) __weak __ksym;

/* Linux tools/lib/bpf/bpf_helpers.h has the same shape. */
#define bpf_for(i, start, end)                                                                                        \
	for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                    \
	     *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, (start), (end)), (void *)0);                   \
	     ({                                                                                                       \
		     int *___t = bpf_iter_num_next(&___it);                                                           \
		     (___t && ((i) = *___t, (i) >= (start) && (i) < (end)));                                          \
	     });)

#define bpf_repeat(n)                                                                                                 \
	for (struct bpf_iter_num ___it __attribute__((aligned(8), cleanup(bpf_iter_num_destroy))),                    \
	     *___p __attribute__((unused)) = (bpf_iter_num_new(&___it, 0, (n)), (void *)0);                           \
	     bpf_iter_num_next(&___it);)

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 24);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

/* Numbers that the compiler must not know. */
volatile int ten = 10, low = -3, high = 4, much = 8 * 1024 * 1024, most = 0x7fffffff, least = -0x7fffffff - 1;
int numbers[16];

static __always_inline void put(__u32 at, __u64 value)
{
	bpf_map_update_elem(&results, &at, &value, BPF_ANY);
}

SEC("uprobe")
int on_loops(struct pt_regs *ctx)
{
	__s64 sum = 0, rounds = 0;
	int i, j, n = ten, from = low, to = high;

	bpf_for(i, from, to) sum += i;
	put(0, sum);
	bpf_repeat(n) rounds++;
	put(1, rounds);
	sum = 0;
	bpf_for(i, 0, n) {
		if (i == 3)
			continue;
		if (i == 7)
			break;
		bpf_for(j, 0, i) sum += i * 100 + j;
	}
	put(2, sum);
	bpf_for(i, 0, 16) numbers[i & 15] = i * i;
	sum = 0;
	bpf_for(i, 0, 16) sum += numbers[i & 15];
	put(3, sum);
	put(4, bpf_iter_num_new != 0);
	if (bpf_task_release)
		put(5, bpf_task_release(0));
	return 0;
}

/* The last 4096 numbers in front of the largest one. */
static __noinline void at_the_end(int end)
{
	struct bpf_iter_num it;
	__u64 rounds = 0;
	int *drawn, last = 0;

	bpf_iter_num_new(&it, end - 4096, end);
	while ((drawn = bpf_iter_num_next(&it))) {
		last = *drawn;
		rounds++;
	}
	bpf_iter_num_destroy(&it);
	put(13, rounds);
	put(14, last);
}

SEC("uprobe")
int on_bounds(struct pt_regs *ctx)
{
	struct bpf_iter_num it;
	int *drawn;

	put(0, bpf_iter_num_new(&it, high, low));
	put(1, bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);

	put(2, bpf_iter_num_new(&it, 0, much + 1));
	put(3, bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);

	put(4, bpf_iter_num_new(&it, least, most));
	bpf_iter_num_destroy(&it);

	put(5, bpf_iter_num_new(&it, 0, much));
	drawn = bpf_iter_num_next(&it);
	put(6, drawn ? *drawn : -1);
	bpf_iter_num_destroy(&it);

	put(7, bpf_iter_num_new(&it, least, least + 1));
	drawn = bpf_iter_num_next(&it);
	put(8, drawn ? *drawn : 1);
	put(9, bpf_iter_num_next(&it) == 0);
	put(10, bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);

	put(11, bpf_iter_num_new(&it, most, most));
	put(12, bpf_iter_num_next(&it) == 0);
	bpf_iter_num_destroy(&it);
	at_the_end(most);
	return 0;
}
