// What an operation on a map costs: each program does one of them 16 times, on keys that follow from the argument.
// Built with clang 14, in this folder, and kept in git so that the bench needs no clang:
//   clang-14 -O2 -g -target bpf -D__TARGET_ARCH_x86 -I/usr/include/x86_64-linux-gnu \
//     -fdebug-compilation-dir=. -c maps.bpf.c -o maps.bpf.o && llvm-strip-14 -g maps.bpf.o
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#define TIMES 16
#define KEYS 64

#define MAP(map, map_type, key_type)          \
  struct {                                    \
    __uint(type, map_type);                   \
    __uint(max_entries, 1024);                \
    __type(key, key_type);                    \
    __type(value, __u64);                     \
  } map SEC(".maps")

MAP(array, BPF_MAP_TYPE_ARRAY, __u32);
MAP(percpu_array, BPF_MAP_TYPE_PERCPU_ARRAY, __u32);
MAP(hash, BPF_MAP_TYPE_HASH, __u64);
MAP(percpu_hash, BPF_MAP_TYPE_PERCPU_HASH, __u64);
MAP(lru_hash, BPF_MAP_TYPE_LRU_HASH, __u64);

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 1 << 20);
} events SEC(".maps");

struct prefix {
  __u32 bits;
  __u32 address;
};

struct {
  __uint(type, BPF_MAP_TYPE_LPM_TRIE);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __uint(max_entries, 1024);
  __type(key, struct prefix);
  __type(value, __u64);
} lpm_trie SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_BLOOM_FILTER);
  __uint(max_entries, 1024);
  __type(value, __u64);
} bloom_filter SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_QUEUE);
  __uint(max_entries, 1024);
  __type(value, __u64);
} queue SEC(".maps");

struct inner {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, KEYS);
  __type(key, __u32);
  __type(value, __u64);
} inner_0 SEC(".maps"), inner_1 SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
  __uint(max_entries, 2);
  __type(key, __u32);
  __array(values, struct inner);
} array_of_maps SEC(".maps") = {.values = {&inner_0, &inner_1}};

/* Each goes on in the next, TIMES of them. */
#define STEPS(X) X(0, 1) X(1, 2) X(2, 3) X(3, 4) X(4, 5) X(5, 6) X(6, 7) X(7, 8) \
  X(8, 9) X(9, 10) X(10, 11) X(11, 12) X(12, 13) X(13, 14) X(14, 15) X(15, 16)
#define DECLARE(n, next) int step_##n(struct pt_regs *ctx);
#define PLACE(n, next) [n] = (void *)&step_##n,
STEPS(DECLARE)
int step_16(struct pt_regs *ctx);

struct {
  __uint(type, BPF_MAP_TYPE_PROG_ARRAY);
  __uint(max_entries, TIMES + 1);
  __uint(key_size, sizeof(__u32));
  __array(values, int(void *));
} steps SEC(".maps") = {.values = {STEPS(PLACE)[16] = (void *)&step_16}};

/* Written if a sum is one that it never is: so the values have to be read. */
#define USE(sum)                                        \
  if ((sum) == 0x123456789abcull) {                     \
    __u32 zero = 0;                                     \
    bpf_map_update_elem(&array, &zero, &sum, BPF_ANY);  \
  }

#define EACH _Pragma("unroll") for (int i = 0; i < TIMES; i++)
#define KEY ((PT_REGS_PARM1(ctx) + i) & (KEYS - 1))

/* Values that are there; the first calls put them there. */
#define LOOKUP(map, key_type)                                     \
  SEC("uprobe")                                                   \
  int map##_lookup(struct pt_regs *ctx) {                         \
    __u64 sum = 0, one = 1;                                       \
    EACH {                                                        \
      key_type key = KEY;                                         \
      __u64 *value = bpf_map_lookup_elem(&map, &key);             \
      if (value) sum += *value;                                   \
      else bpf_map_update_elem(&map, &key, &one, BPF_ANY);        \
    }                                                             \
    USE(sum)                                                      \
    return 0;                                                     \
  }

#define MISS(map)                                                 \
  SEC("uprobe")                                                   \
  int map##_miss(struct pt_regs *ctx) {                           \
    __u64 sum = 0;                                                \
    EACH {                                                        \
      __u64 key = KEY + 1000;                                     \
      __u64 *value = bpf_map_lookup_elem(&map, &key);             \
      if (value) sum += *value;                                   \
    }                                                             \
    USE(sum)                                                      \
    return 0;                                                     \
  }

#define UPDATE(map, key_type)                                     \
  SEC("uprobe")                                                   \
  int map##_update(struct pt_regs *ctx) {                         \
    EACH {                                                        \
      key_type key = KEY;                                         \
      __u64 value = i;                                            \
      bpf_map_update_elem(&map, &key, &value, BPF_ANY);           \
    }                                                             \
    return 0;                                                     \
  }

/* Keys of their own for each call, so that every deletion finds one. */
#define REPLACE(map)                                              \
  SEC("uprobe")                                                   \
  int map##_replace(struct pt_regs *ctx) {                        \
    EACH {                                                        \
      __u64 key = KEY, value = i;                                 \
      bpf_map_delete_elem(&map, &key);                            \
      bpf_map_update_elem(&map, &key, &value, BPF_ANY);           \
    }                                                             \
    return 0;                                                     \
  }

#define DELETE_MISS(map)                                          \
  SEC("uprobe")                                                   \
  int map##_delete_miss(struct pt_regs *ctx) {                    \
    EACH {                                                        \
      __u64 key = KEY + 1000;                                     \
      bpf_map_delete_elem(&map, &key);                            \
    }                                                             \
    return 0;                                                     \
  }

SEC("uprobe")
int empty(void *ctx) {
  return 0;
}

LOOKUP(array, __u32)
UPDATE(array, __u32)
LOOKUP(percpu_array, __u32)
LOOKUP(hash, __u64)
MISS(hash)
UPDATE(hash, __u64)
REPLACE(hash)
DELETE_MISS(hash)
LOOKUP(percpu_hash, __u64)
MISS(percpu_hash)
UPDATE(percpu_hash, __u64)
LOOKUP(lru_hash, __u64)
UPDATE(lru_hash, __u64)

SEC("uprobe")
int lpm_trie_lookup(struct pt_regs *ctx) {
  __u64 sum = 0, one = 1;
  EACH {
    struct prefix key = {.bits = 32, .address = KEY};
    __u64 *value = bpf_map_lookup_elem(&lpm_trie, &key);
    if (value) {
      sum += *value;
    } else {
      key.bits = 24;
      bpf_map_update_elem(&lpm_trie, &key, &one, BPF_ANY);
    }
  }
  USE(sum)
  return 0;
}

SEC("uprobe")
int bloom_filter_lookup(struct pt_regs *ctx) {
  __u64 sum = 0;
  EACH {
    __u64 value = KEY;
    if (bpf_map_peek_elem(&bloom_filter, &value) == 0) sum++;
    else bpf_map_push_elem(&bloom_filter, &value, BPF_ANY);
  }
  USE(sum)
  return 0;
}

SEC("uprobe")
int queue_push_pop(struct pt_regs *ctx) {
  __u64 sum = 0;
  EACH {
    __u64 value = KEY;
    bpf_map_push_elem(&queue, &value, BPF_ANY);
    if (bpf_map_pop_elem(&queue, &value) == 0) sum += value;
  }
  USE(sum)
  return 0;
}

SEC("uprobe")
int array_of_maps_lookup(struct pt_regs *ctx) {
  __u64 sum = 0;
  EACH {
    __u32 key = KEY, which = key & 1;
    void *map = bpf_map_lookup_elem(&array_of_maps, &which);
    __u64 *value = map ? bpf_map_lookup_elem(map, &key) : 0;
    if (value) sum += *value;
  }
  USE(sum)
  return 0;
}

#define STEP(n, next)                     \
  SEC("uprobe")                           \
  int step_##n(struct pt_regs *ctx) {     \
    bpf_tail_call(ctx, &steps, next);     \
    return 0;                             \
  }
STEPS(STEP)

SEC("uprobe")
int step_16(struct pt_regs *ctx) {
  return 0;
}

struct event {
  __u64 number, time;
};

SEC("uprobe")
int send(struct pt_regs *ctx) {
  struct event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
  if (!event) return 0;
  event->number = PT_REGS_PARM1(ctx);
  event->time = PT_REGS_PARM2(ctx);
  bpf_ringbuf_submit(event, 0);
  return 0;
}

char LICENSE[] SEC("license") = "GPL";
