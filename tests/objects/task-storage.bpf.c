/* What each thread has to itself: visits are counted in the value of the thread that makes them. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

enum { BPF_LOCAL_STORAGE_GET_F_CREATE = 1 };
static struct task_struct *(*bpf_get_current_task_btf)(void) = (void *)158;
static void *(*bpf_task_storage_get)(void *map, struct task_struct *task, void *value, __u64 flags) = (void *)156;
static long (*bpf_task_storage_delete)(void *map, struct task_struct *task) = (void *)157;

struct own {
	__u64 calls;
	__u32 thread;
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct own);
} owns SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, __u32);
} brief SEC(".maps");

__u64 odd;

SEC("uprobe")
int on_visit(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct own first = {.thread = bpf_get_current_pid_tgid()};
	struct own *own = bpf_task_storage_get(&owns, task, &first, BPF_LOCAL_STORAGE_GET_F_CREATE);

	if (!own || own->thread != first.thread)
		__sync_fetch_and_add(&odd, 1);
	else
		__sync_fetch_and_add(&own->calls, 1);
	return 0;
}

/* Nothing interrupts these in their thread. */
SEC("uprobe")
int on_brief_visit(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 *value;

	if (bpf_task_storage_get(&brief, task, 0, 0) || bpf_task_storage_get(&brief, task, 0, 2))
		odd++;
	if (bpf_task_storage_delete(&brief, task) != -2)
		odd++;
	value = bpf_task_storage_get(&brief, task, 0, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!value || *value)
		odd++;
	else
		*value = 7;
	value = bpf_task_storage_get(&brief, task, 0, 0);
	if (!value || *value != 7)
		odd++;
	if (bpf_task_storage_delete(&brief, task) || bpf_task_storage_get(&brief, task, 0, 0))
		odd++;
	return 0;
}
