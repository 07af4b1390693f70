/** Which maps a helper may be given. Source: Linux kernel/bpf/verifier.c, check_map_func_compatibility. */
import type { Prototype } from '../helpers/prototype.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { MapFlag } from '../maps/spec-check.ts';
import { refuse, type Step } from './step.ts';

/** Of the kernel's `enum bpf_map_type`, those that only helpers of their own take, or some of the common ones. */
const RESTRICTED: Readonly<Record<number, readonly string[]>> = {
  3: [], // prog_array
  4: [], // perf_event_array
  7: [], // stack_trace
  8: [], // cgroup_array
  12: ['bpf_map_lookup_elem'], // array_of_maps
  13: ['bpf_map_lookup_elem'], // hash_of_maps
  14: ['bpf_map_lookup_elem'], // devmap
  15: [], // sockmap
  16: [], // cpumap
  17: ['bpf_map_lookup_elem'], // xskmap
  18: [], // sockhash
  19: [], // cgroup_storage
  20: [], // reuseport_sockarray
  21: [], // percpu_cgroup_storage
  22: [], // queue
  23: [], // stack
  25: ['bpf_map_lookup_elem'], // devmap_hash
  27: [], // ringbuf
  29: [], // task_storage
  30: [], // bloom_filter
  31: [], // user_ringbuf
};

/** What programs may not do to a map that they may only read. */
const CHANGING = ['bpf_map_update_elem', 'bpf_map_delete_elem', 'bpf_map_push_elem', 'bpf_map_pop_elem'];

/** @throws {VerifierError} VERIFIER_BAD_ARGUMENT if the helper is not for maps of that type */
export function checkMapCompatibility(step: Step, { name, maps }: Prototype, map: MapSpec | undefined): void {
  if (map === undefined) return;
  if ((map.flags & MapFlag.RDONLY_PROG) !== 0 && CHANGING.includes(name)) {
    throw refuse(step, 'VERIFIER_BAD_ARGUMENT', 'write into map forbidden');
  }
  const fits = maps === undefined ? (RESTRICTED[map.type]?.includes(name) ?? true) : maps.includes(map.type);
  if (fits) return;
  const reason = `cannot pass map_type ${map.type} into func ${name}#${step.insn.imm}`;
  throw refuse(step, 'VERIFIER_BAD_ARGUMENT', reason);
}
