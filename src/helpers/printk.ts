/** bpf_trace_printk and bpf_trace_vprintk: the program leaves format and arguments in a ring, the host does the formatting. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { formatPrintk } from './printk-format.ts';
import { FORMAT_OFFSET, FORMAT_SIZE, RingHeader, RingSlot, SLOT_SIZE, SLOTS } from './printk-ring.ts';
import { result } from './result.ts';
import { copyRun } from './runs.ts';
import { MAX_ARGUMENTS, readArguments, readText } from './text-arguments.ts';

/** What bpf_trace_printk takes. */
const PLAIN_ARGUMENTS = 3;

const SLOT_BITS = Math.log2(SLOTS);

/**
 * long bpf_trace_printk(const char *format, u32 size, ...): up to three arguments, which the kernel does not check either.
 * Returns the length of the format, since nobody has formatted it yet; -EINVAL if it does not end within `size`; -E2BIG if
 * it is longer than a record; -ENOSPC if the ring is full.
 */
export const tracePrintk: Helper = {
  id: 6,
  name: 'bpf_trace_printk',
  args: ['memRead', 'memSize', 'optional', 'optional', 'optional'],
  returns: 'scalar',
  requires: [],
  run: (world, [format, size, ...args]) => print(world, format!, size!, args.slice(0, 3)),
  emit(b, [format, size, ...args], context) {
    const words = b.stack(8 * PLAIN_ARGUMENTS);
    for (let index = 0; index < PLAIN_ARGUMENTS; index++) b.store(8, words, 8 * index, args[index] ?? 0);
    return emitPrint(b, [format!, b.unary('zext32', size!), words, b.const(PLAIN_ARGUMENTS)], context);
  },
};

/**
 * long bpf_trace_vprintk(const char *format, u32 size, const u64 *data, u32 data_size): up to twelve arguments; else as
 * bpf_trace_printk
 */
export const traceVprintk: Helper = {
  id: 177,
  name: 'bpf_trace_vprintk',
  args: ['memRead', 'memSize', 'memReadOrNull', 'memSizeOrZero'],
  returns: 'scalar',
  requires: [],
  run(world, [format, size, data, dataSize]) {
    const args = readArguments(world.memory, data!, dataSize!);
    return args === undefined ? result(-Errno.EINVAL) : print(world, format!, size!, args);
  },
  emit(b, [format, size, data, dataSize], context) {
    const bytes = b.unary('zext32', dataSize!);
    const isBad = b.or(b.and(bytes, 7), b.compare('ugt', bytes, 8 * MAX_ARGUMENTS));
    return b.choose(
      b.or(isBad, b.and(b.compare('ne', bytes, 0), b.compare('eq', data!, 0))),
      () => -Errno.EINVAL,
      () => emitPrint(b, [format!, b.unary('zext32', size!), data!, b.shr(bytes, 3)], context),
      'cold',
    );
  },
};

function print({ memory, print }: HelperWorld, address: bigint, size: bigint, args: readonly bigint[]): bigint {
  const bytes = memory.view(address, Number(BigInt.asUintN(32, size)));
  const length = bytes.indexOf(0);
  if (length < 0) return result(-Errno.EINVAL);
  if (length > FORMAT_SIZE) return result(-Errno.E2BIG);
  const format = new TextDecoder('latin1').decode(bytes.subarray(0, length));
  const text = formatPrintk(format, args, (string) => readText(memory, string));
  if (text === undefined) return result(-Errno.EINVAL);
  print(text);
  return BigInt(length);
}

function emitPrint(b: Builder, args: readonly Value[], context: EmitContext): Value {
  const record = context.shared('trace_printk', 4, (body, params) => emitRecord(body, params, context));
  return b.call(record, args);
}

/** (format, size, address of the arguments, how many) -> length of the format or a negative errno */
function emitRecord(b: Builder, [format, size, args, count]: Value[], { facts }: EmitContext): void {
  const [length] = b.loop([b.const(0)], 1, (loop, [at]) => {
    b.when(b.compare('eq', at!, size!), () => b.return(-Errno.EINVAL), 'cold');
    b.when(b.compare('eq', b.load(1, b.add(format!, at!)), 0), () => loop.leave(at!));
    loop.next(b.add(at!, 1));
  });
  b.when(b.compare('ugt', length!, FORMAT_SIZE), () => b.return(-Errno.E2BIG), 'cold');

  const ring = b.const(facts.printkRing);
  const [slot, free] = reserve(b, ring);
  b.store(4, slot!, RingSlot.offsetOf.pid, b.load(4, b.const(facts.pidCell)));
  b.store(2, slot!, RingSlot.offsetOf.length, length!);
  b.store(2, slot!, RingSlot.offsetOf.count, count!);
  copyRun(b, b.add(slot!, RingSlot.size), args!, b.shl(count!, 3));
  copyRun(b, b.add(slot!, FORMAT_OFFSET), format!, length!);
  b.cmpxchg(8, slot!, RingSlot.offsetOf.state, free!, b.add(free!, 1));
  b.return(length!);
}

/** The slot that is this thread's now and its free state; returns -ENOSPC from the function if the ring is full. */
function reserve(b: Builder, ring: Value): Value[] {
  return b.loop([], 2, (retry) => {
    const position = b.load(8, ring, RingHeader.reserved);
    const index = b.and(position, SLOTS - 1);
    const slot = b.add(b.mul(index, SLOT_SIZE), b.add(ring, RingHeader.size));
    const free = b.shl(b.shr(position, SLOT_BITS), 1);
    const state = b.load(8, slot, RingSlot.offsetOf.state);
    b.when(
      b.compare('ult', state, free),
      () => {
        b.atomic('add', 8, ring, RingHeader.lost, 1);
        b.return(-Errno.ENOSPC);
      },
      'cold',
    );
    b.when(b.compare('ne', state, free), () => retry.next(), 'cold');
    const old = b.cmpxchg(8, ring, RingHeader.reserved, position, b.add(position, 1));
    b.when(b.compare('eq', old, position), () => retry.leave(slot, free));
    retry.next();
  });
}
