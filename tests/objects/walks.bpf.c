/* Programs that go through maps while others change them: 64 keys stay, others come, or come and go. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_for_each_map_elem)(void *map, void *callback, void *data, __u64 flags) = (void *)164;

#define STAYING 64
#define ENTRIES 1024
#define MAP(map, kind, count)                      \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_##kind); \
		__uint(max_entries, count);        \
		__type(key, __u32);                \
		__type(value, __u64);              \
	} map SEC(".maps")

MAP(words, HASH, ENTRIES);
MAP(tallies, PERCPU_HASH, ENTRIES);
MAP(recent, LRU_HASH, ENTRIES);
/* How many walks there were; elements met twice, not met, with a wrong value; walks that count wrongly; elements that came. */
enum { WALKS, TWICE, MISSED, WRONG, MISCOUNTED, OTHERS };
MAP(results, ARRAY, 8);

struct walk {
	__u64 met, twice, wrong, visits, others;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk);
} walks SEC(".maps");

static __always_inline void add(__u32 what, __u64 number)
{
	__u64 *result = bpf_map_lookup_elem(&results, &what);

	if (result)
		__sync_fetch_and_add(result, number);
}

/* Its value says which key it has; what writers add to it is above that. */
static long look(void *map, __u32 *key, __u64 *value, struct walk **found)
{
	struct walk *walk = *found;
	__u64 bit = 1ULL << (*key & (STAYING - 1));

	walk->visits++;
	if (*key >= STAYING) {
		walk->others++;
		return 0;
	}
	walk->twice += (walk->met & bit) != 0;
	walk->met |= bit;
	walk->wrong += (__u32)*value != *key * 7;
	return 0;
}

/* In a per-CPU map others see the values of other slots. */
static long look_at_key(void *map, __u32 *key, __u64 *value, struct walk **walk)
{
	__u64 as_it_should_be = *key * 7;

	return look(map, key, &as_it_should_be, walk);
}

static __always_inline int go_through(void *map, void *callback)
{
	__u32 zero = 0;
	struct walk *walk = bpf_map_lookup_elem(&walks, &zero);
	long count;

	if (!walk)
		return 0;
	*walk = (struct walk){};
	count = bpf_for_each_map_elem(map, callback, &walk, 0);
	add(WALKS, 1);
	add(TWICE, walk->twice);
	add(MISSED, walk->met != ~0ULL);
	add(WRONG, walk->wrong);
	add(MISCOUNTED, count != walk->visits || count > ENTRIES);
	add(OTHERS, walk->others);
	return 0;
}

SEC("uprobe")
int walk_words(struct pt_regs *ctx)
{
	return go_through(&words, look);
}

SEC("uprobe")
int walk_tallies(struct pt_regs *ctx)
{
	return go_through(&tallies, look_at_key);
}

SEC("uprobe")
int walk_recent(struct pt_regs *ctx)
{
	return go_through(&recent, look);
}

static __always_inline void change(void *map, __u32 key)
{
	__u64 *value = bpf_map_lookup_elem(map, &key);

	if (value)
		__sync_fetch_and_add(value, 1ULL << 32);
}

/* Others come, and stay too. */
SEC("uprobe")
int on_more(struct pt_regs *ctx)
{
	__u32 number = ARG1(ctx), key = STAYING + (number & 255), stays = number & (STAYING - 1);
	__u64 value = key * 7;

	bpf_map_update_elem(&words, &key, &value, BPF_ANY);
	bpf_map_update_elem(&tallies, &key, &value, BPF_ANY);
	bpf_map_update_elem(&recent, &key, &value, BPF_ANY);
	change(&words, stays);
	change(&tallies, stays);
	change(&recent, stays);
	return 0;
}

/* Others come and go. */
SEC("uprobe")
int on_less(struct pt_regs *ctx)
{
	__u32 number = ARG1(ctx), key = STAYING + (number & 255);

	if (number & 256)
		return on_more(ctx);
	bpf_map_delete_elem(&words, &key);
	bpf_map_delete_elem(&tallies, &key);
	bpf_map_delete_elem(&recent, &key);
	return 0;
}
