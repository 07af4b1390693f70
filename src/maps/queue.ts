/**
 * BPF_MAP_TYPE_QUEUE and BPF_MAP_TYPE_STACK: a ring of preallocated elements, without a lock anywhere. Results as in Linux
 * kernel/bpf/queue_stack_maps.c. The layout is drawn in queue-layout.ts.
 *
 * What the map holds is said by one word, which names a state: where the values begin, how many there are, and the change of
 * a cell that belongs to it. Every operation takes a fresh state, writes it, and makes it the one that holds by one
 * compare-and-exchange; so it is done at that instant or not at all, the push that drops the oldest value included.
 *
 * - Whoever comes next makes the cell's change first. It may be tried late or twice: cells are tagged by the
 *   operation that wrote them, so what it expects is there once only.
 * - While the word is unchanged, its state, its cells and their elements belong to nobody who could reuse them. What was read
 *   is right if the word, read again, still is what it was.
 * - Who replaced a state owns it, and the element that left with it, and gives them back.
 *
 * Who is killed in an operation loses its state and element: `recover` returns them. There are more than values.
 */
import { alignUp } from '../bytes/align.ts';
import { END } from './hash-layout.ts';
import { Errno, type MapType } from './map-type.ts';
import { type Order, QueueCode } from './queue-code.ts';
import { queueHost, recoverQueue } from './queue-host.ts';
import { Header, queueLayout, State } from './queue-layout.ts';
import { badSpec, checkNumbers, checkSize } from './spec-check.ts';

/** The kernel's KMALLOC_MAX_SIZE. */
const MAX_VALUE = 4 * 1024 * 1024;

/** First in, first out. */
export const queue: MapType = keyless(22, 'queue', 'first in, first out');

/** Last in, first out; a push that drops the oldest takes it from the other end. */
export const stack: MapType = keyless(23, 'stack', 'last in, first out');

function keyless(id: number, name: string, order: Order): MapType {
  const type: MapType = {
    id,
    name,

    check(spec) {
      if (spec.keySize !== 0) throw badSpec(spec, `key_size is ${spec.keySize}, a ${name} wants 0`);
      checkNumbers({ ...spec, keySize: 1 }, 0);
      if (spec.valueSize > MAX_VALUE)
        throw badSpec(spec, `value_size is ${spec.valueSize}, wanted ${MAX_VALUE} at most`);
      checkSize(spec, type.size(spec));
    },

    size: (spec) => alignUp(queueLayout(spec).end, 64),

    init({ words }, spec) {
      const { firstState, lastState, firstElement, elementSize, end } = queueLayout(spec);
      words[Header.current / 8] = BigInt(firstState);
      words[Header.states / 8] = BigInt(firstState + State.size);
      words[Header.elements / 8] = BigInt(firstElement);
      words[lastState / 8] = BigInt(END);
      words[(end - elementSize) / 8] = BigInt(END);
    },

    host: (memory, spec) => queueHost(memory, spec, order),
    recover: recoverQueue,

    emitLookup: (b) => b.const(0),
    emitUpdate: (b) => b.const(-Errno.EINVAL),
    emitDelete: (b) => b.const(-Errno.EINVAL),
    keyless: {
      emitPush: (b, spec, context, value, flags) => b.call(new QueueCode(spec, context, order).push, [value, flags]),
      emitPop: (b, spec, context, value) => b.call(new QueueCode(spec, context, order).pop, [value]),
      emitPeek: (b, spec, context, value) => b.call(new QueueCode(spec, context, order).peek, [value]),
    },
  };
  return type;
}
