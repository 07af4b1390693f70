/**
 * Iterators over a range of numbers, which programs ask for one number after the other: what bpf_for and bpf_repeat are made of.
 * Kernel functions, not helpers. Source: Linux kernel/bpf/bpf_iter.c, struct bpf_iter_num_kern.
 */
import { viewOf } from '../bytes/struct.ts';
import { kernelFunctionNumber } from '../insn/kernel-functions.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { Helper, HelperWorld } from './helper.ts';
import { result } from './result.ts';

/** Byte offsets, on the stack of a program: the number that was given last, and the one behind the last. */
export const NumberIterator = { current: 0, end: 4, bytes: 8 } as const;
/** The kernel's BPF_MAX_LOOPS. */
const MAX_LOOPS = 8 * 1024 * 1024;

/** int bpf_iter_num_new(struct bpf_iter_num *it, int start, int end): 0, or -EINVAL, -E2BIG; it has to be destroyed all the same */
export const iterNumNew: Helper = {
  id: kernelFunctionNumber('bpf_iter_num_new'),
  name: 'bpf_iter_num_new',
  args: ['newIterator', 'number', 'number'],
  returns: 'scalar',
  requires: [],
  isKernelFunction: true,
  run(world, [iterator, from, to]) {
    const [start, end] = [BigInt.asIntN(32, from!), BigInt.asIntN(32, to!)];
    const errno = start > end ? Errno.EINVAL : end - start > MAX_LOOPS ? Errno.E2BIG : 0;
    if (errno === 0) write(world, iterator!, start - 1n, end);
    else write(world, iterator!, 0n, 0n);
    return result(-errno);
  },
  emit(b, [iterator, from, to]) {
    const [start, end] = [b.unary('sext32', from!), b.unary('sext32', to!)];
    const isLong = b.compare('sgt', b.sub(end, start), MAX_LOOPS);
    const errno = b.select(b.compare('sgt', start, end), -Errno.EINVAL, b.select(isLong, -Errno.E2BIG, 0));
    const isBad = b.compare('ne', errno, 0);
    b.store(4, iterator!, NumberIterator.current, b.select(isBad, 0, b.sub(start, 1)));
    b.store(4, iterator!, NumberIterator.end, b.select(isBad, 0, end));
    return errno;
  },
};

/** int *bpf_iter_num_next(struct bpf_iter_num *it): where the next number is, NULL if there is none */
export const iterNumNext: Helper = {
  id: kernelFunctionNumber('bpf_iter_num_next'),
  name: 'bpf_iter_num_next',
  args: ['drawnIterator'],
  returns: 'drawnNumberOrNull',
  requires: [],
  isKernelFunction: true,
  run(world, [iterator]) {
    const { current, end } = read(world, iterator!);
    const following = BigInt.asIntN(32, current + 1n);
    const isOver = following >= end;
    write(world, iterator!, isOver ? 0n : following, isOver ? 0n : end);
    return isOver ? 0n : iterator! + BigInt(NumberIterator.current);
  },
  emit(b, [iterator]) {
    const end = b.loadSigned(4, iterator!, NumberIterator.end);
    const following = b.unary('sext32', b.add(b.load(4, iterator!, NumberIterator.current), 1));
    const isOver = b.compare('sge', following, end);
    b.store(4, iterator!, NumberIterator.current, b.select(isOver, 0, following));
    b.store(4, iterator!, NumberIterator.end, b.select(isOver, 0, end));
    return b.select(isOver, 0, b.add(iterator!, NumberIterator.current));
  },
};

/** void bpf_iter_num_destroy(struct bpf_iter_num *it) */
export const iterNumDestroy: Helper = {
  id: kernelFunctionNumber('bpf_iter_num_destroy'),
  name: 'bpf_iter_num_destroy',
  args: ['destroyedIterator'],
  returns: 'void',
  requires: [],
  isKernelFunction: true,
  run(world, [iterator]) {
    write(world, iterator!, 0n, 0n);
    return 0n;
  },
  emit(b, [iterator]): Value {
    b.store(8, iterator!, NumberIterator.current, 0);
    return b.const(0);
  },
};

function read({ memory }: HelperWorld, iterator: bigint): { readonly current: bigint; readonly end: bigint } {
  const view = viewOf(memory.view(iterator, NumberIterator.bytes));
  return {
    current: BigInt(view.getInt32(NumberIterator.current, true)),
    end: BigInt(view.getInt32(NumberIterator.end, true)),
  };
}

function write({ memory }: HelperWorld, iterator: bigint, current: bigint, end: bigint): void {
  const view = viewOf(memory.view(iterator, NumberIterator.bytes));
  view.setInt32(NumberIterator.current, Number(BigInt.asIntN(32, current)), true);
  view.setInt32(NumberIterator.end, Number(end), true);
}
