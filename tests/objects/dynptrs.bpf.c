/* Memory whose size only the running program knows: records of a ring, and parts of a map's value. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

static long (*bpf_dynptr_from_mem)(void *data, __u32 size, __u64 flags, struct bpf_dynptr *to) = (void *)197;
static long (*bpf_ringbuf_reserve_dynptr)(void *map, __u32 size, __u64 flags, struct bpf_dynptr *to) = (void *)198;
static void (*bpf_ringbuf_submit_dynptr)(struct bpf_dynptr *it, __u64 flags) = (void *)199;
static void (*bpf_ringbuf_discard_dynptr)(struct bpf_dynptr *it, __u64 flags) = (void *)200;
static long (*bpf_dynptr_read)(void *to, __u32 size, struct bpf_dynptr *it, __u32 offset, __u64 flags) = (void *)201;
static long (*bpf_dynptr_write)(struct bpf_dynptr *it, __u32 offset, void *from, __u32 size, __u64 flags) = (void *)202;
static void *(*bpf_dynptr_data)(struct bpf_dynptr *it, __u32 offset, __u32 size) = (void *)203;

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} ring SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 24);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

struct text {
	char bytes[32];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct text);
} texts SEC(".maps");

/* Sizes that the compiler must not know. */
volatile __u32 large = 5000, small = 24;

static __always_inline void put(__u32 at, __u64 value)
{
	bpf_map_update_elem(&results, &at, &value, BPF_ANY);
}

SEC("uprobe")
int on_ring(struct pt_regs *ctx)
{
	struct bpf_dynptr it;
	__u64 word = 0x1122334455667788, *part;

	put(0, bpf_ringbuf_reserve_dynptr(&ring, large, 0, &it));
	put(1, bpf_dynptr_write(&it, 0, &word, 8, 0));
	put(2, bpf_dynptr_data(&it, 0, 8) == 0);
	bpf_ringbuf_submit_dynptr(&it, 0);
	put(3, bpf_ringbuf_reserve_dynptr(&ring, small, 1, &it));
	bpf_ringbuf_discard_dynptr(&it, 0);
	put(4, bpf_ringbuf_reserve_dynptr(&ring, 1 << 24, 0, &it));
	bpf_ringbuf_discard_dynptr(&it, 0);
	put(5, bpf_ringbuf_reserve_dynptr(&ring, small, 0, &it));
	put(6, bpf_dynptr_write(&it, 0, &word, 8, 0));
	put(7, bpf_dynptr_write(&it, 17, &word, 8, 0));
	put(8, bpf_dynptr_write(&it, -1, &word, 8, 0));
	put(9, bpf_dynptr_write(&it, 0, &word, 8, 1));
	part = bpf_dynptr_data(&it, 8, 16);
	if (part) {
		part[0] = 7;
		part[1] = 9;
	}
	put(10, bpf_dynptr_data(&it, 9, 16) == 0);
	bpf_ringbuf_submit_dynptr(&it, 0);
	put(11, bpf_ringbuf_reserve_dynptr(&ring, small, 0, &it));
	bpf_ringbuf_discard_dynptr(&it, 0);
	return 0;
}

SEC("uprobe")
int on_value(struct pt_regs *ctx)
{
	__u32 zero = 0;
	struct text *text = bpf_map_lookup_elem(&texts, &zero);
	struct bpf_dynptr it;
	char copy[8] = {};

	if (!text)
		return 0;
	put(0, bpf_dynptr_from_mem(text->bytes, 24, 1, &it));
	put(1, bpf_dynptr_read(copy, sizeof(copy), &it, 0, 0));
	put(2, bpf_dynptr_from_mem(text->bytes, 24, 0, &it));
	put(3, bpf_dynptr_write(&it, 0, "abcdefghijklmno", 16, 0));
	/* Into itself, forward and back. */
	put(4, bpf_dynptr_write(&it, 4, text->bytes, 16, 0));
	put(5, bpf_dynptr_read(text->bytes, 16, &it, 2, 0));
	put(6, bpf_dynptr_read(copy, 7, &it, 1, 0));
	put(7, *(__u64 *)copy);
	put(8, bpf_dynptr_read(copy, 8, &it, 17, 0));
	put(9, bpf_dynptr_read(copy, 8, &it, 0, 2));
	put(10, bpf_dynptr_read(copy, 0, &it, 24, 0));
	return 0;
}
