/**
 * BPF_MAP_TYPE_RINGBUF and BPF_MAP_TYPE_PERF_EVENT_ARRAY: records from programs to the host, in the order they were begun. The
 * layout is drawn in ringbuf-layout.ts. Results as in Linux kernel/bpf/ringbuf.c and kernel/trace/bpf_trace.c.
 *
 * The kernel's perf event array has a ring for each CPU, which its reader makes as large as it likes; here it is one ring. Records
 * say which CPU they came from.
 */
import { alignUp } from '../bytes/align.ts';
import type { EventRing } from './event-ring.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, type MapType } from './map-type.ts';
import { RingConsumer } from './ringbuf-host.ts';
import { PERF_EVENT_ARRAY, RINGBUF, RingHeader, ringLayout } from './ringbuf-layout.ts';
import { badSpec, checkNumbers, checkSize } from './spec-check.ts';

/** Records reserved, filled and submitted by programs. */
export const ringbuf: MapType = {
  ...ofRecords(RINGBUF, 'ringbuf', (spec) => checkRing(spec, 'ringbuf')),
  usual: { maxEntries: 256 * 1024 },
};

/** Records that programs copy into it: bpf_perf_event_output. */
export const perfEventArray: MapType = ofRecords(PERF_EVENT_ARRAY, 'perf_event_array', (spec) => {
  // libbpf makes 0 entries as many as there are CPUs; cilium/ebpf fills in sizes that are left out.
  const { keySize, valueSize, maxEntries } = spec;
  checkNumbers({ ...spec, keySize: keySize || 4, valueSize: valueSize || 4, maxEntries: Math.max(maxEntries, 1) }, 0);
  if (keySize !== 4 && keySize !== 0) throw badSpec(spec, `key_size is ${keySize}, a perf_event_array wants 4`);
  if (valueSize !== 4 && valueSize !== 0 && spec.valueTypeId === 0) {
    throw badSpec(spec, `value_size is ${valueSize}, a perf_event_array wants 4`);
  }
});

/** The numbers of a ring. @throws {MapError} MAP_BAD_SPEC */
export function checkRing(spec: MapSpec, name: string): void {
  checkNumbers({ ...spec, keySize: 1, valueSize: 1 }, 0);
  // A type may stand there to say what records are; it does not count.
  for (const [what, size, type] of [
    ['key_size', spec.keySize, spec.keyTypeId],
    ['value_size', spec.valueSize, spec.valueTypeId],
  ] as const) {
    if (size !== 0 && type === 0) throw badSpec(spec, `${what} is ${size}, a ${name} wants 0`);
  }
}

function ofRecords(id: number, name: string, check: (spec: MapSpec) => void): MapType {
  const type: MapType = {
    id,
    name,
    check(spec) {
      check(spec);
      checkSize(spec, type.size(spec));
    },
    size: (spec) => alignUp(ringLayout(spec).end, 64),
    init({ words }, spec) {
      words[RingHeader.heads / 8] = BigInt(ringLayout(spec).heads);
    },
    host: ringHost,
    recover: () => undefined,
    emitLookup: (b) => b.const(0),
    emitUpdate: (b) => b.const(-Errno.EOPNOTSUPP),
    emitDelete: (b) => b.const(-Errno.EOPNOTSUPP),
  };
  return type;
}

/** There is nothing to look up: what it has is its ring. */
function ringHost(memory: MapMemory, spec: MapSpec): HostMap & { readonly ring: EventRing } {
  return {
    lookup: () => undefined,
    update: () => -Errno.EOPNOTSUPP,
    delete: () => -Errno.EOPNOTSUPP,
    entries: () => [],
    ring: new RingConsumer(memory, spec),
  };
}
