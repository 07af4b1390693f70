// What the comparison runs at every call: the same bytecode in the target and in the kernel.
// Built with clang 14, in this folder, and kept in git so that the bench needs no clang:
//   clang-14 -O2 -g -target bpf -D__TARGET_ARCH_x86 -I/usr/include/x86_64-linux-gnu \
//     -fdebug-compilation-dir=. -c bench.bpf.c -o bench.bpf.o && llvm-strip-14 -g bench.bpf.o
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, __u64);
} total SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, __u64);
} by_argument SEC(".maps");

SEC("uprobe")
int empty(void *ctx) {
  return 0;
}

/* One thread calls, so a plain increment is exact. */
SEC("uprobe")
int count_array(void *ctx) {
  __u32 key = 0;
  __u64 *count = bpf_map_lookup_elem(&total, &key);
  if (count) *count += 1;
  return 0;
}

SEC("uprobe")
int count_array_atomic(void *ctx) {
  __u32 key = 0;
  __u64 *count = bpf_map_lookup_elem(&total, &key);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}

SEC("uprobe")
int update_hash(struct pt_regs *ctx) {
  __u64 key = PT_REGS_PARM1(ctx), one = 1;
  bpf_map_update_elem(&by_argument, &key, &one, BPF_ANY);
  return 0;
}

SEC("uprobe")
int count_hash(struct pt_regs *ctx) {
  __u64 key = PT_REGS_PARM1(ctx), one = 1;
  __u64 *count = bpf_map_lookup_elem(&by_argument, &key);
  if (count) *count += 1;
  else bpf_map_update_elem(&by_argument, &key, &one, BPF_ANY);
  return 0;
}

/* A pair of programs at one function: when each thread came in, and how long calls took by powers of two. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __type(key, __u64);
  __type(value, __u64);
} begins SEC(".maps");

#define BUCKETS 64
#define PROCESSORS 64

/* A row for each processor, so that they do not wait for each other. */
struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, BUCKETS * PROCESSORS);
  __type(key, __u32);
  __type(value, __u64);
} latencies SEC(".maps");

SEC("uprobe")
int begin_latency(void *ctx) {
  __u64 thread = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
  bpf_map_update_elem(&begins, &thread, &now, BPF_ANY);
  return 0;
}

/* The position of the highest bit. */
static __always_inline __u32 log2(__u64 value) {
  __u32 log = 0;
  if (value >> 32) value >>= 32, log += 32;
  if (value >> 16) value >>= 16, log += 16;
  if (value >> 8) value >>= 8, log += 8;
  if (value >> 4) value >>= 4, log += 4;
  if (value >> 2) value >>= 2, log += 2;
  if (value >> 1) log += 1;
  return log;
}

SEC("uretprobe")
int end_latency(void *ctx) {
  __u64 thread = bpf_get_current_pid_tgid(), now = bpf_ktime_get_ns();
  __u64 *begin = bpf_map_lookup_elem(&begins, &thread);
  if (!begin) return 0;
  __u32 bucket = (bpf_get_smp_processor_id() % PROCESSORS) * BUCKETS + log2(now - *begin);
  __u64 *count = bpf_map_lookup_elem(&latencies, &bucket);
  if (count) __sync_fetch_and_add(count, 1);
  return 0;
}

/* The target passes first arguments below 64. */
SEC("uprobe.override")
int override_taken(struct pt_regs *ctx) {
  if (PT_REGS_PARM1(ctx) < 64) bpf_override_return(ctx, 7);
  return 0;
}

SEC("uprobe.override")
int override_not_taken(struct pt_regs *ctx) {
  if (PT_REGS_PARM1(ctx) >= 64) bpf_override_return(ctx, 7);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
