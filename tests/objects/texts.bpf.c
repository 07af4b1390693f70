/* Text that programs make and read: formats with every conversion, numbers in words, and the task's own registers. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static long (*bpf_snprintf)(char *to, __u32 size, const char *format, __u64 *data, __u32 data_size) = (void *)165;
static long (*bpf_trace_vprintk)(const char *format, __u32 size, const void *data, __u32 data_size) = (void *)177;
static long (*bpf_strtol)(const char *text, unsigned long size, __u64 base, long *to) = (void *)105;
static long (*bpf_strtoul)(const char *text, unsigned long size, __u64 base, unsigned long *to) = (void *)106;
static __u64 (*bpf_jiffies64)(void) = (void *)118;
static long (*bpf_get_numa_node_id)(void) = (void *)42;
static long (*bpf_get_branch_snapshot)(void *to, __u32 size, __u64 flags) = (void *)176;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;
static struct pt_regs *(*bpf_task_pt_regs)(void *task) = (void *)175;
static long (*bpf_copy_from_user_task)(void *to, __u32 size, const void *from, void *task, __u64 flags) = (void *)191;
static long (*bpf_get_task_stack)(void *task, void *to, __u32 size, __u64 flags) = (void *)141;

struct line {
	__s64 length;
	char text[56];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, struct line);
} lines SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} results SEC(".maps");

static __always_inline void put(__u32 at, __u64 value)
{
	bpf_map_update_elem(&results, &at, &value, BPF_ANY);
}

#define LINE(at, size, format, ...)                                                      \
	({                                                                               \
		static const char text[] = format;                                       \
		__u64 data[] = { __VA_ARGS__ };                                          \
		__u32 key = at;                                                          \
		struct line *line = bpf_map_lookup_elem(&lines, &key);                   \
		if (line)                                                                \
			line->length = bpf_snprintf(line->text, size, text, data, sizeof(data)); \
	})

SEC("uprobe")
int on_lines(struct pt_regs *ctx)
{
	char word[8] = "word";

	LINE(0, 56, "plain 100%%", 0);
	LINE(1, 56, "%d %u %x %X", -1, -1, 0xbeef, 0xbeef);
	LINE(2, 56, "%lld %llu %lx", 1ull << 63, -1, 1ull << 40);
	LINE(3, 56, "[%5d|%-5d|%05d|%+d|% d]", 42, 42, -42, 7, 7);
	LINE(4, 56, "%px %p", 0x1234, 0x1234);
	LINE(5, 56, "%c%c[%3c|%-3c]", 'a', 'b', 'c', 'd');
	LINE(6, 56, "<%s>", (__u64)word);
	LINE(7, 56, "<%8s|%-8s|%2s>", (__u64)word, (__u64)word, (__u64)word);
	LINE(8, 8, "cut %d where it ends", 12345);
	LINE(9, 1, "%d", 5);
	LINE(10, 56, "<%s>", 8);
	LINE(11, 56, "%d%d%d%d%d%d%d%d%d%d%d%d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
	return 0;
}

SEC("uprobe")
int on_print(struct pt_regs *ctx)
{
	char word[8] = "word";
	static const char format[] = "%d %d %d %d %d %s";
	__u64 data[] = { 1, 2, 3, 4, 5, (__u64)word };

	put(0, bpf_trace_vprintk(format, sizeof(format), data, sizeof(data)));
	put(1, bpf_trace_vprintk(format, sizeof(format), 0, 0));
	return 0;
}

SEC("uprobe")
int on_numbers(struct pt_regs *ctx)
{
	char text[8] = "-0x1f,", plain[8] = "077 ";
	long number = 0;
	unsigned long plain_number = 0;

	put(0, bpf_strtol(text, sizeof(text), 0, &number));
	put(1, number);
	put(2, bpf_strtoul(plain, sizeof(plain), 10, &plain_number));
	put(3, plain_number);
	put(4, bpf_strtoul(text, sizeof(text), 0, &plain_number));
	put(5, bpf_get_branch_snapshot(text, sizeof(text), 0));
	return 0;
}

SEC("uprobe")
int on_task(struct pt_regs *ctx)
{
	void *task = bpf_get_current_task_btf();
	struct pt_regs *regs = bpf_task_pt_regs(task);
	__u64 frames[2] = {}, before = bpf_jiffies64(), there = 1, nowhere = 1;

	put(0, regs->di == ctx->di && regs->ip == ctx->ip && regs->sp == ctx->sp);
	put(1, bpf_get_task_stack(task, frames, sizeof(frames), BPF_F_USER_STACK));
	put(2, frames[0] == ctx->ip);
	put(3, bpf_copy_from_user_task(&there, sizeof(there), (void *)ctx->sp, task, 0));
	put(4, there == frames[1]);
	put(5, bpf_copy_from_user_task(&nowhere, sizeof(nowhere), (void *)8, task, 0));
	put(6, nowhere);
	put(7, bpf_copy_from_user_task(&nowhere, sizeof(nowhere), (void *)8, task, 1));
	put(8, bpf_get_numa_node_id());
	put(9, bpf_jiffies64() - before < 1000);
	put(10, before);
	return 0;
}
