/* Keys and values of every shape that BTF describes. */
#include "bpf.h"

char LICENSE[] SEC("license") = "Dual MIT/GPL";

enum kind { KIND_SMALL, KIND_LARGE = 7, KIND_NEGATIVE = -3 };
enum wide { WIDE_ONE = 1, WIDE_HUGE = 0x123456789abcULL };

struct point {
	__s16 x, y;
};

union word {
	__u32 number;
	__u8 bytes[4];
};

typedef struct {
	__u32 pid;
	enum kind kind;
	char comm[16];
} key_t;

struct value {
	__u64 count;
	__s64 balance;
	_Bool seen;
	unsigned int low : 3, middle : 11, high : 18;
	int tilt : 5;
	const volatile struct point points[2];
	union word word;
	void *address;
	enum wide wide;
	double ratio;
	struct {
		__u8 inner;
	};
	__u8 raw[3];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, key_t);
	__type(value, struct value);
} table SEC(".maps");

SEC("uprobe/./target:work")
int on_work(struct pt_regs *ctx)
{
	key_t key = {};
	struct value fresh = {};

	key.pid = bpf_get_current_pid_tgid() >> 32;
	key.kind = ARG1(ctx) > 100 ? KIND_LARGE : KIND_SMALL;
	bpf_get_current_comm(key.comm, sizeof(key.comm));

	struct value *value = bpf_map_lookup_elem(&table, &key);
	if (value) {
		value->count++;
		value->balance -= ARG1(ctx);
		value->seen = 1;
		return 0;
	}
	fresh.count = 1;
	fresh.low = 5;
	fresh.middle = 1025;
	fresh.high = 200000;
	fresh.tilt = -9;
	fresh.word.number = 0x04030201;
	fresh.address = (void *)ARG1(ctx);
	fresh.wide = WIDE_HUGE;
	fresh.inner = 42;
	fresh.raw[1] = 9;
	bpf_map_update_elem(&table, &key, &fresh, BPF_ANY);
	return 0;
}
