/** The registers with which the task came to where the program runs. */
import { Errno } from '../maps/map-type.ts';
import { HelperError } from './errors.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** struct pt_regs *bpf_task_pt_regs(struct task_struct *): of the only task there is, those of the probe */
export const taskPtRegs: Helper = {
  id: 175,
  name: 'bpf_task_pt_regs',
  args: ['task'],
  returns: 'registers',
  requires: [],
  run: () => result(-Errno.EOPNOTSUPP),
  emit(b, _args, context) {
    const { registers } = context.call;
    if (registers !== undefined) return b.add(context.contextIn(b.fn), registers);
    throw new HelperError(
      'HELPER_NO_REGISTERS',
      'its context is not struct pt_regs: use a probe of a function, or ksyscall',
    );
  },
};
