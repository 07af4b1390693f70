/** bpf_tail_call: the program ends, and another one of its object goes on in its place. Linux kernel/bpf/core.c, arch/x86/net/bpf_jit_comp.c. */
import { emitFdArrayNumber } from '../maps/fd-array.ts';
import type { Helper } from './helper.ts';

/** The kernel's MAX_TAIL_CALL_CNT: how often one run may go on in another program. */
export const MAX_TAIL_CALLS = 33;

/** void bpf_tail_call(void *ctx, map, u32 index): comes back only if there is no program at that place, or the run has had its calls */
export const tailCall: Helper = {
  id: 12,
  name: 'bpf_tail_call',
  args: ['context', 'map', 'scalar'],
  returns: 'void',
  requires: [],
  maps: [3],
  leaves: true,
  run(world, [, map, index]) {
    world.tailCall(map!, Number(BigInt.asUintN(32, index!)));
    return 0n;
  },
  emit(b, [, map, index], context) {
    const { spec, address } = context.map(map!);
    const number = emitFdArrayNumber(b, spec, address, index!);
    b.when(number, () => context.goOnIn(b, number));
    return b.const(0);
  },
};
