/* What a program sees of the task it runs in, by way of the kernel's structures, thread by thread. */
#include "bpf.h"

char LICENSE[] SEC("license") = "GPL";

static void *(*bpf_get_current_task)(void) = (void *)35;
static void *(*bpf_get_current_task_btf)(void) = (void *)158;
static long (*bpf_probe_read_kernel)(void *to, __u32 size, const void *from) = (void *)113;
static long (*bpf_probe_read_kernel_str)(void *to, __u32 size, const void *from) = (void *)115;
static __u64 (*bpf_get_current_cgroup_id)(void) = (void *)80;
static __u64 (*bpf_get_current_uid_gid)(void) = (void *)15;

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)
struct ns_common {
	unsigned int inum;
};
struct pid_namespace {
	unsigned int level;
	struct ns_common ns;
};
struct mnt_namespace {
	struct ns_common ns;
};
struct nsproxy {
	struct mnt_namespace *mnt_ns;
	struct pid_namespace *pid_ns_for_children;
};
struct upid {
	int nr;
};
struct pid {
	struct upid numbers[1];
};
struct kernfs_node {
	__u64 id;
};
struct cgroup {
	struct kernfs_node *kn;
};
struct css_set {
	struct cgroup *dfl_cgrp;
};
struct task_struct {
	int pid;
	int tgid;
	struct task_struct *real_parent;
	struct task_struct *group_leader;
	struct pid *thread_pid;
	__u64 start_time;
	char comm[16];
	struct nsproxy *nsproxy;
	struct css_set *cgroups;
};
#pragma clang attribute pop

struct seen {
	__u32 pid, tgid, parent, leader, number, mnt, pidns, level;
	__u64 start, group, own_group, uid_gid;
	__s64 beyond;
	char comm[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 64);
	__type(key, __u32);
	__type(value, struct seen);
} threads SEC(".maps");

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), &(from))
/* Where a pointer leads that lies in memory that is read. */
#define FOLLOW(type, from)                                                                                            \
	({                                                                                                                  \
		type *pointer = 0;                                                                                                \
		bpf_probe_read_kernel(&pointer, sizeof(pointer), &(from));                                                        \
		pointer;                                                                                                          \
	})

SEC("uprobe")
int on_touch(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task(), *same = bpf_get_current_task_btf();
	__u32 thread = bpf_get_current_pid_tgid();
	struct seen seen = {};

	if (task != same)
		return 0;
	READ(seen.pid, task->pid);
	READ(seen.tgid, task->tgid);
	READ(seen.parent, FOLLOW(struct task_struct, task->real_parent)->tgid);
	READ(seen.leader, FOLLOW(struct task_struct, task->group_leader)->pid);
	READ(seen.number, FOLLOW(struct pid, task->thread_pid)->numbers[0].nr);
	READ(seen.mnt, FOLLOW(struct mnt_namespace, FOLLOW(struct nsproxy, task->nsproxy)->mnt_ns)->ns.inum);
	READ(seen.pidns, FOLLOW(struct pid_namespace, FOLLOW(struct nsproxy, task->nsproxy)->pid_ns_for_children)->ns.inum);
	READ(seen.level, FOLLOW(struct pid_namespace, FOLLOW(struct nsproxy, task->nsproxy)->pid_ns_for_children)->level);
	READ(seen.start, task->start_time);
	READ(seen.group, FOLLOW(struct kernfs_node, FOLLOW(struct cgroup, FOLLOW(struct css_set, task->cgroups)->dfl_cgrp)->kn)->id);
	bpf_probe_read_kernel_str(seen.comm, sizeof(seen.comm), task->comm);
	seen.own_group = bpf_get_current_cgroup_id();
	seen.uid_gid = bpf_get_current_uid_gid();
	seen.beyond = bpf_probe_read_kernel(&task, sizeof(task), (char *)task + (1UL << 40));
	bpf_map_update_elem(&threads, &thread, &seen, BPF_ANY);
	return 0;
}
