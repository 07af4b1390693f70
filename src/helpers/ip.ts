/** What the attachment itself knows. */
import type { Helper } from './helper.ts';

/** u64 bpf_get_func_ip(void *ctx): the address of the probed function */
export const getFuncIp: Helper = {
  id: 173,
  name: 'bpf_get_func_ip',
  args: ['context'],
  returns: 'scalar',
  requires: [],
  run: (world) => world.functionIp,
  emit: (b, _args, context) => context.functionIp(b),
};

/** u64 bpf_get_attach_cookie(void *ctx): the number the user gave when attaching */
export const getAttachCookie: Helper = {
  id: 174,
  name: 'bpf_get_attach_cookie',
  args: ['context'],
  returns: 'scalar',
  requires: [],
  run: (world) => world.attachCookie,
  emit: (b, _args, { attachCookie }) => b.const(attachCookie),
};
