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

char LICENSE[] SEC("license") = "GPL";
