/** Where the program runs. */
import type { Helper } from './helper.ts';
import { Syscall } from './linux.ts';

/** u32 bpf_get_smp_processor_id(void). A thread may move right after it. */
export const getSmpProcessorId: Helper = {
  id: 8,
  name: 'bpf_get_smp_processor_id',
  args: [],
  returns: 'cpuNumber',
  requires: [],
  fastcall: true,
  run: (world) => BigInt(world.cpu),
  emit: (b) => b.cpuNumber(),
};

/** long bpf_get_numa_node_id(void): of the processor it runs on */
export const getNumaNodeId: Helper = {
  id: 42,
  name: 'bpf_get_numa_node_id',
  args: [],
  returns: 'scalar',
  requires: ['syscall'],
  run: () => 0n,
  emit(b) {
    const node = b.stack(8);
    b.store(8, node, 0, 0);
    b.syscall(Syscall.getcpu, [0, node, 0]);
    return b.load(4, node);
  },
};
