/* Samples that the host sends and programs drain: one program after the other, many at once, and one inside the other. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

struct bpf_dynptr {
	__u64 opaque[2];
} __attribute__((aligned(8)));

static long (*bpf_dynptr_read)(void *to, __u32 size, struct bpf_dynptr *it, __u32 offset, __u64 flags) = (void *)201;
static long (*bpf_dynptr_write)(struct bpf_dynptr *it, __u32 offset, void *from, __u32 size, __u64 flags) = (void *)202;
static void *(*bpf_dynptr_data)(struct bpf_dynptr *it, __u32 offset, __u32 size) = (void *)203;
static long (*bpf_loop)(__u32 count, void *callback, void *data, __u64 flags) = (void *)181;
static long (*bpf_user_ringbuf_drain)(void *map, void *callback, void *data, __u64 flags) = (void *)209;

struct {
	__uint(type, BPF_MAP_TYPE_USER_RINGBUF);
	__uint(max_entries, 4096);
} samples SEC(".maps");

struct sample {
	__u64 number, twice;
};

struct state {
	/* What the host asks for: flags of the drain, and after how many samples it is to stop. */
	__u64 flags, limit;
	__u64 seen, shorter, sum, last, disorder, torn, inside;
	/* Of all drains: how many samples, how often there was somebody else, what else went wrong. */
	__u64 drained, busy, failed;
};

#define ARRAY_OF(name, count, value_type)           \
	struct {                                    \
		__uint(type, BPF_MAP_TYPE_ARRAY);   \
		__uint(max_entries, count);         \
		__type(key, __u32);                 \
		__type(value, value_type);          \
	} name SEC(".maps")

ARRAY_OF(states, 1, struct state);
/* What drain gave, call by call. */
ARRAY_OF(results, 32, __u64);
ARRAY_OF(places, 1, __u32);

static long take(struct bpf_dynptr *it, struct state **found)
{
	struct state *state = *found;
	struct sample *sample = bpf_dynptr_data(it, 0, sizeof(*sample));
	__u64 first;

	state->seen++;
	if (sample) {
		state->sum += sample->number;
		state->torn += sample->twice != 2 * sample->number;
		state->disorder += sample->number <= state->last;
		state->last = sample->number;
	} else {
		state->shorter++;
		if (!bpf_dynptr_read(&first, 1, it, 0, 0))
			state->sum += first & 0xff;
	}
	return state->seen == state->limit;
}

/* While it looks at a sample nobody else may, itself neither. */
static long take_inside(struct bpf_dynptr *it, struct state **found)
{
	__u64 mark = 0x55;

	if (!bpf_dynptr_write(it, 0, &mark, 8, 0))
		(*found)->inside = bpf_user_ringbuf_drain(&samples, take, found, 0);
	return take(it, found);
}

/* Looks at its sample until somebody ends it. */
static long spin(__u32 index, void *data)
{
	return 0;
}

static long spin_on(__u32 index, void *data)
{
	return bpf_loop(1 << 23, spin, 0, 0) < 0;
}

static long take_for_ever(struct bpf_dynptr *it, struct state **found)
{
	(*found)->inside = 1;
	return bpf_loop(1 << 23, spin_on, 0, 0) < 0;
}

static __always_inline struct state *state_of(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&states, &zero);
}

static __always_inline void note(__u64 result)
{
	__u32 zero = 0, *place = bpf_map_lookup_elem(&places, &zero);

	if (place) {
		zero = *place;
		*place += 1;
		bpf_map_update_elem(&results, &zero, &result, BPF_ANY);
	}
}

SEC("uprobe")
int on_call(struct pt_regs *ctx)
{
	struct state *state = state_of();

	if (state)
		note(bpf_user_ringbuf_drain(&samples, take, &state, state->flags));
	return 0;
}

SEC("uprobe")
int on_nested(struct pt_regs *ctx)
{
	struct state *state = state_of();

	if (state)
		note(bpf_user_ringbuf_drain(&samples, take_inside, &state, state->flags));
	return 0;
}

SEC("uprobe")
int on_end(struct pt_regs *ctx)
{
	struct state *state = state_of();

	if (state)
		bpf_user_ringbuf_drain(&samples, take_for_ever, &state, 0);
	return 0;
}

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	struct state *state = state_of();
	long count;

	if (!state)
		return 0;
	count = bpf_user_ringbuf_drain(&samples, take, &state, 0);
	if (count >= 0)
		__sync_fetch_and_add(&state->drained, count);
	else if (count == -16)
		__sync_fetch_and_add(&state->busy, 1);
	else
		__sync_fetch_and_add(&state->failed, 1);
	return 0;
}
