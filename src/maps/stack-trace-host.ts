/** The host's side of stack_trace maps. The target may write anything anywhere meanwhile: every number is checked, every try counted. */
import { viewOf } from '../bytes/struct.ts';
import { giveTo } from './free-list.ts';
import { END, isElement, link, offsetOf } from './hash-layout.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec } from './map-type.ts';
import { loadBytes, requireKey, requireValue } from './memory.ts';
import { bucketOffset, Element, Header, stackTraceLayout } from './stack-trace-layout.ts';

/** Looks at a trace that is replaced all the while before it passes for absent. */
const PATIENCE = 1000;

/** The map in `memory`, for the host: keys are numbers of traces, values their addresses, filled up with zeros. */
export function stackTraceHost(memory: MapMemory, spec: MapSpec): HostMap {
  const { words } = memory;
  const layout = stackTraceLayout(spec);
  const { bucketCount, depth } = layout;
  const idOf = (key: Uint8Array): number => {
    requireKey(spec, key);
    return viewOf(key).getUint32(0, true);
  };

  const traceOf = (id: number): Uint8Array | undefined => {
    for (let attempt = 0; attempt < PATIENCE; attempt++) {
      const word = Atomics.load(words, bucketOffset(id) / 8);
      const element = offsetOf(word);
      if (!isElement(layout, element)) return undefined;
      const value = loadBytes(memory, element + Element.addresses, spec.valueSize);
      const count = memory.halves[(element + Element.count) / 4]! >>> 0;
      if (Atomics.load(words, bucketOffset(id) / 8) !== word) continue;
      return value.fill(0, 8 * Math.min(count, depth));
    }
    return undefined;
  };

  return {
    lookup(key) {
      const id = idOf(key);
      return id < bucketCount ? traceOf(id) : undefined;
    },

    update(key, value) {
      requireKey(spec, key);
      requireValue(spec, value);
      return -Errno.EINVAL;
    },

    delete(key) {
      const id = idOf(key);
      if (id >= bucketCount) return -Errno.E2BIG;
      const bucket = bucketOffset(id) / 8;
      for (let attempt = 0; attempt < PATIENCE; attempt++) {
        const word = Atomics.load(words, bucket);
        if (!isElement(layout, offsetOf(word))) return -Errno.ENOENT;
        if (Atomics.compareExchange(words, bucket, word, link(word, 0)) !== word) continue;
        giveTo(memory, Header.free, offsetOf(word));
        return 0;
      }
      return -Errno.EBUSY;
    },

    *entries() {
      for (let id = 0; id < bucketCount; id++) {
        const value = traceOf(id);
        if (value !== undefined) yield [new Uint8Array(Uint32Array.of(id).buffer), value];
      }
    },
  };
}

/** Returns the elements of threads that were killed, while nobody works on the map; its traces stay. Trusts nothing it reads. */
export function recoverStackTrace({ words }: MapMemory, spec: MapSpec): void {
  const layout = stackTraceLayout(spec);
  const { bucketCount, firstElement, elementSize, end } = layout;
  const kept = new Set<number>();
  for (let id = 0; id < bucketCount; id++) {
    const bucket = bucketOffset(id) / 8;
    const element = offsetOf(words[bucket]!);
    if (isElement(layout, element) && !kept.has(element)) kept.add(element);
    else words[bucket] = link(words[bucket]!, 0);
  }
  let from: number = Header.free;
  for (let element = firstElement; element < end; element += elementSize) {
    if (kept.has(element)) continue;
    words[from / 8] = link(words[from / 8]!, element);
    from = element;
  }
  words[from / 8] = link(words[from / 8]!, END);
}
