/* Functions that helpers call back: loops, and maps that are gone through, changed and emptied meanwhile. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_loop)(__u32 count, void *callback, void *data, __u64 flags) = (void *)181;
static long (*bpf_for_each_map_elem)(void *map, void *callback, void *data, __u64 flags) = (void *)164;
static void *(*bpf_map_lookup_percpu_elem)(void *map, const void *key, __u32 slot) = (void *)195;

#define ENTRIES 64
#define MAP(map, kind, count, key_type, value_type) \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_##kind);  \
		__uint(max_entries, count);         \
		__type(key, key_type);              \
		__type(value, value_type);          \
	} map SEC(".maps")

struct wide {
	__u64 number, pad[3];
};

MAP(results, ARRAY, 32, __u32, __u64);
MAP(row, ARRAY, 10, __u32, __u32);
MAP(slots, PERCPU_ARRAY, 4, __u32, __u64);
MAP(words, HASH, ENTRIES, __u32, __u64);
MAP(wides, HASH, ENTRIES, __u64, struct wide);
MAP(recent, LRU_HASH, ENTRIES, __u32, __u64);
MAP(tallies, PERCPU_HASH, ENTRIES, __u32, __u64);

struct sums {
	__u64 keys, values, calls, limit;
};

static __always_inline void put(__u32 at, __u64 value)
{
	bpf_map_update_elem(&results, &at, &value, BPF_ANY);
}

static long add_index(__u32 index, void *data)
{
	((struct sums *)data)->keys += index;
	return 0;
}

static long add_row_of(__u32 index, void *data)
{
	return bpf_loop(index, add_index, data, 0) < 0;
}

static long add_up_to(__u32 index, void *data)
{
	((struct sums *)data)->calls++;
	return index == ((struct sums *)data)->limit;
}

static long fill(__u32 index, void *data)
{
	__u64 key = index, value = index * 10;
	struct wide wide = { .number = value };

	bpf_map_update_elem(&words, &index, &value, BPF_ANY);
	bpf_map_update_elem(&wides, &key, &wide, BPF_ANY);
	bpf_map_update_elem(&recent, &index, &value, BPF_ANY);
	bpf_map_update_elem(&tallies, &index, &value, BPF_ANY);
	return 0;
}

#define ADD(name, key_type, value_type, number_of)                                             \
	static long name(void *map, key_type *key, value_type *value, struct sums *sums)       \
	{                                                                                      \
		sums->keys += *key;                                                            \
		sums->values += number_of;                                                     \
		return *key == sums->limit;                                                    \
	}

ADD(add_row, __u32, __u32, *value)
ADD(add_word, __u32, __u64, *value)
ADD(add_wide, __u64, struct wide, value->number)

/* Whatever they do to the element they stand on, each is met once. */
static long take_out(void *map, __u32 *key, __u64 *value, struct sums *sums)
{
	__u32 copy = *key;

	sums->values += *value;
	sums->calls += bpf_map_delete_elem(map, &copy) == 0;
	return 0;
}

static long replace(void *map, __u64 *key, struct wide *value, struct sums *sums)
{
	__u64 copy = *key;
	struct wide next = { .number = value->number + 1 };

	sums->calls++;
	return bpf_map_update_elem(&wides, &copy, &next, BPF_EXIST) != 0;
}

static long add_slot(__u32 slot, struct sums *sums)
{
	__u32 key = 5;
	__u64 *value = bpf_map_lookup_percpu_elem(&tallies, &key, slot);

	if (value)
		sums->values += *value;
	else
		sums->calls++;
	return 0;
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	struct sums loop = {}, rows = {}, cut = { .limit = 6 };

	put(0, bpf_loop(100, add_index, &loop, 0));
	put(1, loop.keys);
	put(2, bpf_loop(10, add_row_of, &rows, 0));
	put(3, rows.keys);
	put(4, bpf_loop(100, add_up_to, &cut, 0));
	put(5, bpf_loop(0, add_up_to, &cut, 0));
	put(6, bpf_loop((1 << 23) + 1, add_up_to, &cut, 0));
	put(7, bpf_loop(1, add_up_to, &cut, 1));
	put(8, cut.calls);
	return 0;
}

SEC("uprobe")
int on_maps(struct pt_regs *ctx)
{
	struct sums all = { .limit = -1 }, cut = { .limit = 5 };
	struct sums row_sums = all, slot_sums = all, word_sums = all, wide_sums = all, recent_sums = all, tally_sums = all;
	__u32 key = 3, number = 9;
	__u64 value = 4;

	bpf_map_update_elem(&row, &key, &number, BPF_ANY);
	bpf_map_update_elem(&slots, &key, &value, BPF_ANY);
	bpf_loop(ENTRIES - 4, fill, 0, 0);
	put(0, bpf_for_each_map_elem(&row, add_row, &row_sums, 0));
	put(1, row_sums.keys * 1000 + row_sums.values);
	put(2, bpf_for_each_map_elem(&slots, add_word, &slot_sums, 0));
	put(3, slot_sums.keys * 1000 + slot_sums.values);
	put(4, bpf_for_each_map_elem(&words, add_word, &word_sums, 0));
	put(5, word_sums.values - word_sums.keys);
	put(6, bpf_for_each_map_elem(&wides, add_wide, &wide_sums, 0));
	put(7, wide_sums.values - wide_sums.keys);
	put(8, bpf_for_each_map_elem(&recent, add_word, &recent_sums, 0));
	put(9, recent_sums.values - recent_sums.keys);
	put(10, bpf_for_each_map_elem(&tallies, add_word, &tally_sums, 0));
	put(11, tally_sums.values - tally_sums.keys);
	put(12, bpf_for_each_map_elem(&row, add_row, &cut, 0));
	put(13, bpf_for_each_map_elem(&row, add_row, &cut, 1));
	return 0;
}

SEC("uprobe")
int on_changes(struct pt_regs *ctx)
{
	struct sums all = { .limit = -1 }, replaced = {}, taken = {}, seen = all, none = all;

	bpf_loop(ENTRIES - 4, fill, 0, 0);
	put(0, bpf_for_each_map_elem(&wides, replace, &replaced, 0));
	bpf_for_each_map_elem(&wides, add_wide, &seen, 0);
	put(1, seen.values - seen.keys);
	put(2, bpf_for_each_map_elem(&words, take_out, &taken, 0));
	put(3, taken.calls * 100000 + taken.values);
	put(4, bpf_for_each_map_elem(&words, add_word, &none, 0));
	put(5, bpf_for_each_map_elem(&recent, take_out, &none, 0));
	return 0;
}

SEC("uprobe")
int on_slots(struct pt_regs *ctx)
{
	struct sums of_slots = {};

	bpf_loop(ENTRIES - 4, fill, 0, 0);
	put(0, bpf_loop(200, add_slot, &of_slots, 0));
	put(1, of_slots.values);
	put(2, of_slots.calls);
	return 0;
}
