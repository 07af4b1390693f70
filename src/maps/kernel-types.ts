/** The kernel's names of map types, as bpftool prints them; also of those that are not here yet. */

/** By `enum bpf_map_type`, Linux include/uapi/linux/bpf.h. */
const NAMES = [
  'unspec',
  'hash',
  'array',
  'prog_array',
  'perf_event_array',
  'percpu_hash',
  'percpu_array',
  'stack_trace',
  'cgroup_array',
  'lru_hash',
  'lru_percpu_hash',
  'lpm_trie',
  'array_of_maps',
  'hash_of_maps',
  'devmap',
  'sockmap',
  'cpumap',
  'xskmap',
  'sockhash',
  'cgroup_storage',
  'reuseport_sockarray',
  'percpu_cgroup_storage',
  'queue',
  'stack',
  'sk_storage',
  'devmap_hash',
  'struct_ops',
  'ringbuf',
  'inode_storage',
  'task_storage',
  'bloom_filter',
  'user_ringbuf',
  'cgrp_storage',
  'arena',
] as const;

/** Whether a kernel has maps of that type. */
export function isKernelMapType(number: number): boolean {
  return number > 0 && number < NAMES.length;
}

/** The number of a map type by its name; undefined if no kernel has such maps. */
export function mapTypeNumber(name: string): number | undefined {
  const number = (NAMES as readonly string[]).indexOf(name);
  return number > 0 ? number : undefined;
}
