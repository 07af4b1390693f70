/** bpf_perf_event_output: a record into a perf event array, which is one ring here. Linux kernel/trace/bpf_trace.c. */
import { Errno } from '../maps/map-type.ts';
import { emitSubmit, ringReserve } from '../maps/ringbuf-code.ts';
import { PERF_EVENT_ARRAY, TAG_SIZE } from '../maps/ringbuf-layout.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';
import { emitCopy, outputCode, outputRecord, ringOf } from './ringbuf.ts';

/** In place of an index: the CPU that runs the program. */
const BPF_F_CURRENT_CPU = 0xffff_ffff;
/** perf(1) has 16 bits for the size of a whole record. */
const LONGEST = 0xffff - 24;

/**
 * long bpf_perf_event_output(ctx, map, u64 flags, void *data, u64 size): 0; -EINVAL for flags that are none, -E2BIG for a
 * CPU the map has no place for or a record too long, -ENOSPC if there is no room.
 */
export const perfEventOutput: Helper = {
  id: 25,
  name: 'bpf_perf_event_output',
  args: ['context', 'map', 'scalar', 'memRead', 'memSizeOrZero'],
  returns: 'scalar',
  requires: [],
  maps: [PERF_EVENT_ARRAY],
  run(world, [, map, flags, data, size]) {
    if (flags! > BigInt(BPF_F_CURRENT_CPU)) return result(-Errno.EINVAL);
    const cpu = flags === BigInt(BPF_F_CURRENT_CPU) ? BigInt(world.cpu) : flags!;
    const { maxEntries } = world.mapSizes(map!);
    if (flags !== BigInt(BPF_F_CURRENT_CPU) && maxEntries > 0 && flags! >= maxEntries) return result(-Errno.E2BIG);
    if (size! > LONGEST) return result(-Errno.E2BIG);
    return result(outputRecord(world, map!, data!, Number(size), cpu) ? 0 : -Errno.ENOSPC);
  },
  emit(b, [, map, flags, data, size], context) {
    const { spec, place } = ringOf(context, map!);
    const output = outputCode(spec, place, size!, (body, [from, length, bits]) => {
      body.when(body.compare('ugt', bits!, BPF_F_CURRENT_CPU), () => body.return(-Errno.EINVAL), 'cold');
      const isCurrent = body.compare('eq', bits!, BPF_F_CURRENT_CPU);
      const cpu = body.select(isCurrent, body.cpuNumber(), bits!);
      if (spec.maxEntries > 0) {
        const outside = body.and(body.xor(isCurrent, 1), body.compare('uge', bits!, spec.maxEntries));
        body.when(outside, () => body.return(-Errno.E2BIG), 'cold');
      }
      body.when(body.compare('ugt', length!, LONGEST), () => body.return(-Errno.E2BIG), 'cold');
      const record = body.call(ringReserve(spec, place), [length!]);
      body.when(body.compare('eq', record, 0), () => body.return(-Errno.ENOSPC), 'cold');
      body.store(8, record, -TAG_SIZE, cpu);
      emitCopy(body, record, from!, length!);
      emitSubmit(body, spec, place, record, body.const(0));
      body.return(0);
    });
    return b.call(output, [data!, size!, flags!]);
  },
};
