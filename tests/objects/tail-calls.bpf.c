/* Tail calls of every outcome: programs that end, that go on, that call themselves, places that are empty or not there. */
#include "bpf.h"

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 16);
	__type(key, __u32);
	__type(value, __u64);
} seen SEC(".maps");

enum { MAIN, CAME_BACK, STAY, AGAIN, AGAIN_CAME_BACK, HOP, HOP_CAME_BACK, CONTEXT, LEAVE, LEAVE_CAME_BACK, AROUND, RETURNED };

static __always_inline void add(__u32 what, __u64 number)
{
	__u64 *value = bpf_map_lookup_elem(&seen, &what);

	if (value)
		*value += number;
}

int stay(struct pt_regs *ctx);
int again(struct pt_regs *ctx);
int hop(struct pt_regs *ctx);
int context(struct pt_regs *ctx);

/* Place 3 is empty, and so are those from 7 on. */
struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 10);
	__uint(key_size, sizeof(__u32));
	__array(values, int (void *));
} jumps SEC(".maps") = {
	.values = {
		[0] = (void *)&stay,
		[1] = (void *)&again,
		[2] = (void *)&hop,
		[5] = (void *)&context,
		[6] = (void *)&stay,
	},
};

/* Place 7 is 1000 for it, which is not there. */
SEC("uprobe/visits")
int on_visit(struct pt_regs *ctx)
{
	__u64 at = ARG1(ctx) & 7;

	add(MAIN, 1);
	bpf_tail_call(ctx, &jumps, at == 7 ? 1000 : at);
	add(CAME_BACK, 1);
	return 1;
}

SEC("uprobe")
int stay(struct pt_regs *ctx)
{
	add(STAY, 1);
	return 2;
}

/* Goes on in itself, as often as it may. */
SEC("uprobe")
int again(struct pt_regs *ctx)
{
	add(AGAIN, 1);
	bpf_tail_call(ctx, &jumps, 1);
	add(AGAIN_CAME_BACK, 1);
	return 3;
}

SEC("uprobe")
int hop(struct pt_regs *ctx)
{
	add(HOP, 1);
	bpf_tail_call(ctx, &jumps, 0);
	add(HOP_CAME_BACK, 1);
	return 4;
}

/* Sees what the first program saw. */
SEC("uprobe")
int context(struct pt_regs *ctx)
{
	add(CONTEXT, (ARG1(ctx) & 7) == 5 && bpf_get_func_ip(ctx) != 0 && bpf_get_attach_cookie(ctx) == 77);
	return 5;
}

/* The program that goes on returns to the caller of this function. */
static __noinline int leave(struct pt_regs *ctx, __u32 at)
{
	int result = 6;

	/* The compiler does not know what comes back either. */
	asm volatile("" : "+r"(result));
	add(LEAVE, 1);
	bpf_tail_call(ctx, &jumps, at);
	add(LEAVE_CAME_BACK, 1);
	return result;
}

SEC("uprobe/waits")
int around(struct pt_regs *ctx)
{
	int result = leave(ctx, ARG1(ctx) & 7);

	add(AROUND, 1);
	add(RETURNED, result);
	return result;
}

char LICENSE[] SEC("license") = "MIT";
