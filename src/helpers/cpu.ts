/** Where the program runs. */
import type { Helper } from './helper.ts';

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
