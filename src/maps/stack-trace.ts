/**
 * BPF_MAP_TYPE_STACK_TRACE: traces of return addresses, each by a number that its addresses hash to. Results as in Linux
 * kernel/bpf/stackmap.c. The layout is drawn in stack-trace-layout.ts.
 *
 * A thread takes an element off the free list, writes its trace there, and only then looks whether its bucket names the same one:
 * so every trace that can be found is whole. A bucket changes by one compare-and-exchange, and its word has a tag: who read a
 * trace, and finds the word unchanged, read it before its element could be given to another.
 *
 * Who is killed in between loses an element: `recover` returns it. There are more than buckets.
 */
import { alignUp } from '../bytes/align.ts';
import { END } from './hash-layout.ts';
import { Errno, type MapType } from './map-type.ts';
import { badSpec, checkNumbers, checkSize } from './spec-check.ts';
import { StackTraceCode } from './stack-trace-code.ts';
import { recoverStackTrace, stackTraceHost } from './stack-trace-host.ts';
import { Element, Header, stackTraceLayout } from './stack-trace-layout.ts';

/** The kernel's default for sysctl kernel.perf_event_max_stack. */
export const MAX_STACK_DEPTH = 127;

export const stackTrace: MapType = {
  id: 7,
  name: 'stack_trace',
  usual: { valueSize: 8 * MAX_STACK_DEPTH, maxEntries: 16384 },

  check(spec) {
    checkNumbers(spec, 0);
    if (spec.keySize !== 4) throw badSpec(spec, `key_size is ${spec.keySize}, a stack_trace wants 4`);
    if (spec.valueSize % 8 !== 0 || spec.valueSize > 8 * MAX_STACK_DEPTH) {
      throw badSpec(spec, `value_size is ${spec.valueSize}, wanted 8 for each of up to ${MAX_STACK_DEPTH} addresses`);
    }
    checkSize(spec, stackTrace.size(spec));
  },

  size: (spec) => alignUp(stackTraceLayout(spec).end, 64),

  init({ words }, spec) {
    const { firstElement, elementSize, end } = stackTraceLayout(spec);
    words[Header.free / 8] = BigInt(firstElement);
    words[(end - elementSize) / 8] = BigInt(END);
  },

  host: stackTraceHost,
  recover: recoverStackTrace,

  emitLookup: (b) => b.const(0),
  emitUpdate: (b) => b.const(-Errno.EINVAL),
  emitDelete: (b) => b.const(-Errno.EINVAL),
  traces: {
    depth: (spec) => stackTraceLayout(spec).depth,
    room: Element.addresses,
    emitTake: (b, spec, context) => new StackTraceCode(spec, context).take(b),
    emitGive: (b, spec, context, element) => new StackTraceCode(spec, context).give(b, element),
    emitKeep: (b, spec, context, element, count, flags) =>
      b.call(new StackTraceCode(spec, context).keep, [element, count, flags]),
  },
};
