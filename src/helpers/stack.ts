/**
 * Traces of the stack, by frame pointers: what the kernel gives for the user's side (Linux arch/x86/events/core.c, perf_callchain_user).
 * Where a call has just arrived its return address is on top of the stack, whether or not the function has frame pointers.
 */
import type { Builder } from '../ir/builder.ts';
import type { IrFunction, Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { MAX_STACK_DEPTH } from '../maps/stack-trace.ts';
import { TraceFlag } from '../maps/stack-trace-code.ts';
import { mapTypeOf } from '../maps/table.ts';
import { HelperError } from './errors.ts';
import type { EmitContext, FrameModel, Helper } from './helper.ts';
import { safeRead } from './own-memory.ts';
import { result } from './result.ts';
import { zeroRun } from './runs.ts';

/** Linux include/uapi/linux/bpf.h */
const StackFlag = { SKIP: 0xff, USER: 0x100 } as const;
const STACK_TRACE = 7;
/** What a function saves and is called with: the caller's frame pointer, and where it returns to. */
const SAVED = { framePointer: 0, returnsTo: 8, size: 16 } as const;
/** No frame lies in the first page. */
const LOWEST_FRAME = 4096;

/** The interpreter's programs have been called by nobody. */
const notSupported = (): bigint => result(-Errno.EOPNOTSUPP);

/** long bpf_get_stackid(void *ctx, map, u64 flags): the number of the trace in the map; -EFAULT without BPF_F_USER_STACK, there is no other */
export const getStackId: Helper = {
  id: 27,
  name: 'bpf_get_stackid',
  args: ['context', 'map', 'scalar'],
  returns: 'scalar',
  requires: ['syscall'],
  maps: [STACK_TRACE],
  run: notSupported,
  emit(b, [at, map, flags], context) {
    const { frame } = context.call;
    if (frame === undefined) return b.const(-Errno.EOPNOTSUPP);
    const { spec, address } = context.map(map!);
    const { traces, name } = mapTypeOf(spec);
    if (traces === undefined) {
      throw new HelperError('HELPER_NO_TRACES', `cannot keep a trace in map ${spec.name}: its type is ${name}`);
    }
    const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
    const known = StackFlag.SKIP | StackFlag.USER | TraceFlag.FAST_COMPARE | TraceFlag.REUSE_ID;
    const body = (fn: Builder, [flags, ip, sp, bp]: Value[]): void => {
      fn.when(fn.and(flags!, ~BigInt(known)), () => fn.return(-Errno.EINVAL), 'cold');
      fn.when(fn.compare('eq', fn.and(flags!, StackFlag.USER), 0), () => fn.return(-Errno.EFAULT), 'cold');
      const element = traces.emitTake(fn, spec, place);
      fn.when(fn.compare('eq', element, 0), () => fn.return(-Errno.ENOMEM), 'cold');
      const walked = [fn.add(element, traces.room), fn.const(traces.depth(spec)), flags!, ip!, sp!, bp!];
      const count = fn.call(walk(context, frame), walked);
      const nothing = () => {
        traces.emitGive(fn, spec, place, element);
        fn.return(-Errno.EFAULT);
      };
      fn.when(fn.compare('eq', count, 0), nothing, 'cold');
      fn.return(traces.emitKeep(fn, spec, place, element, count, flags!));
    };
    const take = context.shared(`stackid-${spec.name}-${kindOf(frame)}`, 4, body);
    return b.call(take, [flags!, ...registers(b, at!, frame)]);
  },
};

/** long bpf_get_stack(void *ctx, void *to, u32 size, u64 flags): how many bytes of addresses `to` has now; behind them zeros */
export const getStack: Helper = {
  id: 67,
  name: 'bpf_get_stack',
  args: ['context', 'memWrite', 'memSizeOrZero', 'scalar'],
  returns: 'sizeOrError',
  requires: ['syscall'],
  run: notSupported,
  emit(b, [at, to, size, flags], context) {
    const { frame } = context.call;
    const body = (fn: Builder, [to, size, flags, ip, sp, bp]: Value[]): void => {
      const fail = (errno: number) => {
        zeroRun(fn, to!, size!);
        fn.return(-errno);
      };
      const isBad = fn.or(fn.and(flags!, ~BigInt(StackFlag.SKIP | StackFlag.USER)), fn.and(size!, 7));
      fn.when(isBad, () => fail(Errno.EINVAL), 'cold');
      const isNothing = fn.or(fn.compare('eq', fn.and(flags!, StackFlag.USER), 0), fn.compare('eq', size!, 0));
      fn.when(isNothing, () => fail(0), 'cold');
      const count =
        frame === undefined
          ? fn.const(0)
          : fn.call(walk(context, frame), [to!, fn.shr(size!, 3), flags!, ip!, sp!, bp!]);
      fn.when(fn.compare('eq', count, 0), () => fail(Errno.EFAULT), 'cold');
      const used = fn.shl(count, 3);
      zeroRun(fn, fn.add(to!, used), fn.sub(size!, used));
      fn.return(used);
    };
    const take = context.shared(`stack-${kindOf(frame)}`, 6, body);
    const walked = frame === undefined ? [b.const(0), b.const(0), b.const(0)] : registers(b, at!, frame);
    return b.call(take, [to!, b.unary('zext32', size!), flags!, ...walked]);
  },
};

/** long bpf_get_task_stack(struct task_struct *, void *to, u32 size, u64 flags): as bpf_get_stack, the only task is our own */
export const getTaskStack: Helper = {
  id: 141,
  name: 'bpf_get_task_stack',
  args: ['task', 'memWrite', 'memSizeOrZero', 'scalar'],
  returns: 'sizeOrError',
  requires: ['syscall'],
  run: notSupported,
  emit: (b, [, to, size, flags], context) => getStack.emit(b, [context.contextIn(b.fn), to!, size!, flags!], context),
};

function kindOf(frame: FrameModel | undefined): string {
  if (frame === undefined) return 'none';
  return frame.isAtEntry ? 'entry' : 'inside';
}

function registers(b: Builder, context: Value, { ip, sp, bp }: FrameModel): Value[] {
  return [ip, sp, bp].map((offset) => b.load(8, context, offset));
}

/**
 * (to, how many at most, flags, ip, sp, bp) -> how many addresses `to` has now. The innermost comes first; as many as the flags say
 * are left out, and count as taken.
 */
function walk(context: EmitContext, { isAtEntry }: FrameModel): IrFunction {
  return context.shared(`walk-${isAtEntry ? 'entry' : 'inside'}`, 6, (b, [to, limit, flags, ip, sp, bp]) => {
    const saved = b.stack(SAVED.size);
    const first = b.sub(to!, b.shl(b.and(flags!, StackFlag.SKIP), 3));
    const last = b.add(first, 8 * MAX_STACK_DEPTH);
    const full = b.add(to!, b.shl(limit!, 3));
    const end = b.select(b.compare('ult', full, last), full, last);
    const count = (at: Value) => b.select(b.compare('ugt', at, to!), b.shr(b.sub(at, to!), 3), 0);
    const put = (at: Value, address: Value): Value => {
      b.when(b.compare('uge', at, to!), () => b.store(8, at, 0, address));
      return b.add(at, 8);
    };
    let at = put(first, ip!);
    if (isAtEntry) {
      b.when(b.compare('eq', at, end), () => b.return(count(at)), 'cold');
      at = put(at, b.load(8, sp!));
    }
    const [behind] = b.loop([at, bp!], 1, (frames, [next, frame]) => {
      const leave = () => frames.leave(next!);
      b.when(b.compare('eq', next!, end), leave);
      b.when(b.compare('ult', frame!, LOWEST_FRAME), leave);
      const failed = b.call(safeRead(context), [saved, b.const(SAVED.size), frame!]);
      b.when(failed, leave, 'cold');
      frames.next(put(next!, b.load(8, saved, SAVED.returnsTo)), b.load(8, saved, SAVED.framePointer));
    });
    b.return(count(behind!));
  });
}
