/* Several sections, several programs in one of them, many maps, printk. */
#include "bpf.h"

char LICENSE[] SEC("license") = "MIT";

#define ARRAY(name, size)                          \
	struct {                                   \
		__uint(type, BPF_MAP_TYPE_ARRAY);  \
		__uint(max_entries, size);         \
		__type(key, __u32);                \
		__type(value, __u64);              \
	} name SEC(".maps")

ARRAY(m0, 1);
ARRAY(m1, 2);
ARRAY(m2, 3);
ARRAY(m3, 4);
ARRAY(m4, 5);
ARRAY(m5, 6);
ARRAY(m6, 7);
ARRAY(m7, 8);

static __always_inline int bump(void *map)
{
	__u32 key = 0;
	__u64 *value = bpf_map_lookup_elem(map, &key);

	if (value)
		__sync_fetch_and_add(value, 1);
	return 0;
}

SEC("uprobe/libc.so.6:malloc") int on_malloc(struct pt_regs *ctx) { return bump(&m0) + bump(&m1); }
SEC("uprobe/libc.so.6:malloc") int on_malloc_too(struct pt_regs *ctx) { return bump(&m2); }
SEC("uprobe/libc.so.6:free") int on_free(struct pt_regs *ctx) { return bump(&m3) + bump(&m0); }
SEC("uprobe/libc.so.6:calloc") int on_calloc(struct pt_regs *ctx) { return bump(&m4) + bump(&m5) + bump(&m6) + bump(&m7); }

SEC("uprobe/libc.so.6:realloc")
int on_realloc(struct pt_regs *ctx)
{
	bpf_printk("realloc(%lx, %ld)", ARG1(ctx), ARG2(ctx));
	bpf_printk("func ip %lx cookie %ld", bpf_get_func_ip(ctx), bpf_get_attach_cookie(ctx));
	return 0;
}
