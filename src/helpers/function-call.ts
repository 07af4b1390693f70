/** The call a program was attached to: its arguments, what it returned, and what it is to return instead. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper } from './helper.ts';
import { result } from './result.ts';

/** The interpreter runs no functions. */
const notSupported = (): bigint => result(-Errno.EOPNOTSUPP);

/** long bpf_get_func_arg(void *ctx, u32 n, u64 *value): 0, or -EINVAL if registers hold no such argument */
export const getFuncArg: Helper = {
  id: 183,
  name: 'bpf_get_func_arg',
  args: ['context', 'scalar', 'wordWrite'],
  returns: 'scalar',
  requires: [],
  run: notSupported,
  emit(b, [context, n, value], { call }) {
    if (call.arguments === undefined) return b.const(-Errno.EOPNOTSUPP);
    const index = b.unary('zext32', n!);
    return b.choose(
      b.compare('ult', index, call.arguments.length),
      () => {
        const argument = call.arguments!.reduce<Value>(
          (rest, offset, at) => b.select(b.compare('eq', index, at), b.load(8, context!, offset), rest),
          b.const(0),
        );
        b.store(8, value!, 0, argument);
        return 0;
      },
      () => -Errno.EINVAL,
    );
  },
};

/** long bpf_get_func_ret(void *ctx, u64 *value): 0, or -EOPNOTSUPP before the function has returned */
export const getFuncRet: Helper = {
  id: 184,
  name: 'bpf_get_func_ret',
  args: ['context', 'wordWrite'],
  returns: 'scalar',
  requires: [],
  run: notSupported,
  emit(b, [context, value], { call }) {
    if (call.result === undefined) return b.const(-Errno.EOPNOTSUPP);
    b.store(8, value!, 0, b.load(8, context!, call.result));
    return b.const(0);
  },
};

/** long bpf_get_func_arg_cnt(void *ctx): how many arguments bpf_get_func_arg knows; nobody says how many the function takes */
export const getFuncArgCnt: Helper = {
  id: 185,
  name: 'bpf_get_func_arg_cnt',
  args: ['context'],
  returns: 'scalar',
  requires: [],
  run: notSupported,
  emit: (b, _args, { call }) => b.const(call.arguments?.length ?? -Errno.EOPNOTSUPP),
};

/** int bpf_get_retval(void): what the function returned or, before that, what it is to return; 0 if nothing was set */
export const getRetval: Helper = {
  id: 186,
  name: 'bpf_get_retval',
  args: [],
  returns: 'scalar',
  requires: [],
  run: notSupported,
  emit(b, _args, site) {
    const { result: returned, outcome } = site.call;
    if (returned !== undefined) return b.load(8, site.contextIn(b.fn), returned);
    if (outcome === undefined) return b.const(-Errno.EOPNOTSUPP);
    const context = site.contextIn(b.fn);
    return b.select(b.load(8, context, outcome), b.load(8, context, outcome + 8), 0);
  },
};

/** int bpf_set_retval(int value): bypasses the function, which returns `value`; all 64 bits of it, since it has no type here */
export const setRetval: Helper = {
  id: 187,
  name: 'bpf_set_retval',
  args: ['scalar'],
  returns: 'scalar',
  requires: ['override'],
  run: notSupported,
  emit: (b, [value], site) => emitOutcome(b, () => site.contextIn(b.fn), value!, site.call),
};

/** long bpf_override_return(struct pt_regs *ctx, u64 value): bypasses the function, which returns `value` */
export const overrideReturn: Helper = {
  id: 58,
  name: 'bpf_override_return',
  args: ['context', 'scalar'],
  returns: 'scalar',
  requires: ['override'],
  run: notSupported,
  emit: (b, [context, value], { call }) => emitOutcome(b, () => context!, value!, call),
};

function emitOutcome(b: Builder, context: () => Value, value: Value, { outcome }: EmitContext['call']): Value {
  if (outcome === undefined) return b.const(-Errno.EOPNOTSUPP);
  const address = context();
  b.store(8, address, outcome, 1);
  b.store(8, address, outcome + 8, value);
  return b.const(0);
}
