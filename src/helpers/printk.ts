/** bpf_trace_printk: the program leaves format and arguments in a ring, the host does the formatting. */
import { BpfError } from '../errors.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import type { EmitContext, Helper, InterpreterMemory } from './helper.ts';
import { formatPrintk } from './printk-format.ts';
import { FORMAT_SIZE, RingHeader, RingSlot, SLOT_SIZE, SLOTS } from './printk-ring.ts';
import { result } from './result.ts';
import { copyRun } from './runs.ts';

/** The longest string that %s prints, as in the kernel. */
const MAX_STRING = 511;

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
  run(world, [address, size, ...args]) {
    const bytes = world.memory.view(address!, Number(BigInt.asUintN(32, size!)));
    const length = bytes.indexOf(0);
    if (length < 0) return result(-Errno.EINVAL);
    if (length > FORMAT_SIZE) return result(-Errno.E2BIG);
    const format = new TextDecoder('latin1').decode(bytes.subarray(0, length));
    const text = formatPrintk(format, args.slice(0, 3), (string) => readString(world.memory, string));
    if (text === undefined) return result(-Errno.EINVAL);
    world.print(text);
    return BigInt(length);
  },
  emit(b, [format, size, ...args], context) {
    const record = context.shared('trace_printk', 5, (body, params) => emitRecord(body, params, context));
    const [first, second, third] = [0, 1, 2].map((index) => args[index] ?? b.const(0)) as [Value, Value, Value];
    return b.call(record, [format!, b.unary('zext32', size!), first, second, third]);
  },
};

/** (format, size, args) -> length of the format or a negative errno */
function emitRecord(b: Builder, [format, size, ...args]: Value[], { facts }: EmitContext): void {
  const [length] = b.loop([b.const(0)], 1, (loop, [at]) => {
    b.when(b.compare('eq', at!, size!), () => b.return(-Errno.EINVAL), 'cold');
    b.when(b.compare('eq', b.load(1, b.add(format!, at!)), 0), () => loop.leave(at!));
    loop.next(b.add(at!, 1));
  });
  b.when(b.compare('ugt', length!, FORMAT_SIZE), () => b.return(-Errno.E2BIG), 'cold');

  const ring = b.const(facts.printkRing);
  const [slot, free] = reserve(b, ring);
  b.store(4, slot!, RingSlot.offsetOf.pid, b.load(4, b.const(facts.pidCell)));
  b.store(4, slot!, RingSlot.offsetOf.length, length!);
  for (const [index, field] of (['arg0', 'arg1', 'arg2'] as const).entries()) {
    b.store(8, slot!, RingSlot.offsetOf[field], args[index]!);
  }
  copyRun(b, b.add(slot!, RingSlot.size), format!, length!);
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

/** The text at `address` up to its NUL, as much of it as can be read. */
function readString(memory: InterpreterMemory, address: bigint): string {
  let text = '';
  try {
    for (let at = 0n; text.length < MAX_STRING; at++) {
      const byte = memory.view(address + at, 1)[0]!;
      if (byte === 0) break;
      text += String.fromCharCode(byte);
    }
  } catch (error) {
    if (!(error instanceof BpfError)) throw error;
  }
  return text;
}
