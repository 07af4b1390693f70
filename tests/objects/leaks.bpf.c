/* As tools look for leaks: who took memory that was not given back, by stack, summed up where the program runs and sent as text. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_for_each_map_elem)(void *map, void *callback, void *data, __u64 flags) = (void *)164;
static long (*bpf_snprintf)(char *to, __u32 size, const char *format, __u64 *data, __u32 data_size) = (void *)165;

enum { DEPTH = 2 };

struct taken {
	__u64 size;
	__s64 stack;
};

struct left {
	__u64 bytes, blocks;
};

struct line {
	char text[64];
};

#define MAP(map, kind, count, key_type, value_type) \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_##kind);  \
		__uint(max_entries, count);         \
		__type(key, key_type);              \
		__type(value, value_type);          \
	} map SEC(".maps")

MAP(sizes, HASH, 1024, __u64, __u64);
MAP(blocks, HASH, 16384, __u64, struct taken);
MAP(left_by_stack, HASH, 1024, __s64, struct left);
MAP(totals, PERCPU_ARRAY, 2, __u32, __u64);

struct {
	__uint(type, BPF_MAP_TYPE_STACK_TRACE);
	/* So many that no two of a test have one number. */
	__uint(max_entries, 65536);
	__uint(key_size, 4);
	__uint(value_size, DEPTH * 8);
} stacks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 65536);
	__type(value, struct line);
} lines SEC(".maps");

static __always_inline void count(__u32 what)
{
	__u64 *total = bpf_map_lookup_elem(&totals, &what);

	if (total)
		*total += 1;
}

SEC("uprobe")
int on_take(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), size = ctx->di;

	return bpf_map_update_elem(&sizes, &thread, &size, BPF_ANY);
}

SEC("uretprobe")
int on_taken(struct pt_regs *ctx)
{
	__u64 thread = bpf_get_current_pid_tgid(), address = ctx->ax;
	__u64 *size = bpf_map_lookup_elem(&sizes, &thread);
	struct taken taken = {};

	if (!size)
		return 0;
	taken.size = *size;
	taken.stack = bpf_get_stackid(ctx, &stacks, BPF_F_USER_STACK);
	bpf_map_delete_elem(&sizes, &thread);
	bpf_map_update_elem(&blocks, &address, &taken, BPF_ANY);
	count(0);
	return 0;
}

SEC("uprobe")
int on_give(struct pt_regs *ctx)
{
	__u64 address = ctx->di;

	if (bpf_map_delete_elem(&blocks, &address) == 0)
		count(1);
	return 0;
}

static long add_block(void *map, __u64 *address, struct taken *taken, void *data)
{
	struct left none = {}, *left = bpf_map_lookup_elem(&left_by_stack, &taken->stack);

	if (!left) {
		bpf_map_update_elem(&left_by_stack, &taken->stack, &none, BPF_NOEXIST);
		left = bpf_map_lookup_elem(&left_by_stack, &taken->stack);
		if (!left)
			return 1;
	}
	left->bytes += taken->size;
	left->blocks++;
	return 0;
}

static long send_line(void *map, __s64 *stack, struct left *left, void *data)
{
	static const char format[] = "%llu bytes in %llu blocks";
	struct line *line = bpf_ringbuf_reserve(&lines, sizeof(*line), 0);
	__u64 args[] = { left->bytes, left->blocks };

	if (!line)
		return 1;
	bpf_snprintf(line->text, sizeof(line->text), format, args, sizeof(args));
	bpf_ringbuf_submit(line, 0);
	return 0;
}

SEC("uprobe")
int on_report(struct pt_regs *ctx)
{
	bpf_for_each_map_elem(&blocks, add_block, 0, 0);
	bpf_for_each_map_elem(&left_by_stack, send_line, 0, 0);
	return 0;
}
