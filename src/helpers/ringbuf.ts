/** The helpers on ring buffers; what they do is written in maps/ringbuf-code.ts. Linux kernel/bpf/ringbuf.c. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import type { RingFact, RingProducer } from '../maps/event-ring.ts';
import { Errno, type MapSpec } from '../maps/map-type.ts';
import { emitSubmit, RingFlag, type RingPlace, ringFinish, ringReserve } from '../maps/ringbuf-code.ts';
import { RINGBUF, RingHeader, ringSize, TAG_SIZE } from '../maps/ringbuf-layout.ts';
import { copyBytes } from '../maps/words.ts';
import { HelperError } from './errors.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';
import { result } from './result.ts';
import { copyRun } from './runs.ts';

const ALL_FLAGS = BigInt(RingFlag.NO_WAKEUP | RingFlag.FORCE_WAKEUP);
/** Copied by instructions of their own. */
const SMALL = 64n;

/** What bpf_ringbuf_query is asked, by number. */
const FACTS: readonly RingFact[] = ['available', 'size', 'consumer', 'producer'];

/** long bpf_ringbuf_output(map, const void *data, u64 size, u64 flags): 0, -EINVAL, or -EAGAIN if there is no room */
export const ringbufOutput: Helper = {
  id: 130,
  name: 'bpf_ringbuf_output',
  args: ['map', 'memRead', 'memSizeOrZero', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: [RINGBUF],
  run(world, [map, data, size, flags]) {
    if ((flags! & ~ALL_FLAGS) !== 0n) return result(-Errno.EINVAL);
    return result(outputRecord(world, map!, data!, Number(size), map!) ? 0 : -Errno.EAGAIN);
  },
  emit(b, [map, data, size, flags], context) {
    const { spec, place } = ringOf(context, map!);
    const output = outputCode(spec, place, size!, (body, [from, length, bits]) => {
      body.when(body.compare('ugt', bits!, ALL_FLAGS), () => body.return(-Errno.EINVAL), 'cold');
      const record = body.call(ringReserve(spec, place), [length!]);
      body.when(body.compare('eq', record, 0), () => body.return(-Errno.EAGAIN), 'cold');
      emitCopy(body, record, from!, length!);
      emitSubmit(body, spec, place, record, bits!);
      body.return(0);
    });
    return b.call(output, [data!, size!, flags!]);
  },
};

/** void *bpf_ringbuf_reserve(map, u64 size, u64 flags): the record's bytes, NULL if there is no room or flags are not 0 */
export const ringbufReserve: Helper = {
  id: 131,
  name: 'bpf_ringbuf_reserve',
  args: ['map', 'allocationSize', 'scalar'],
  returns: 'ringbufMemoryOrNull',
  requires: [],
  maps: [RINGBUF],
  run(world, [map, size, flags]) {
    const record = flags === 0n ? producerOf(world, map!).reserve(Number(size), map!) : undefined;
    return record === undefined ? 0n : map! + BigInt(record);
  },
  emit(b, [map, size, flags], context) {
    const { spec, place } = ringOf(context, map!);
    const refused = b.compare('ne', flags!, 0);
    return b.choose(
      refused,
      () => 0,
      () => b.call(ringReserve(spec, place), [size!]),
      'cold',
    );
  },
};

/** void bpf_ringbuf_submit(void *data, u64 flags) */
export const ringbufSubmit: Helper = finisher(132, 'bpf_ringbuf_submit', 'submit');

/** void bpf_ringbuf_discard(void *data, u64 flags) */
export const ringbufDiscard: Helper = finisher(133, 'bpf_ringbuf_discard', 'discard');

/** u64 bpf_ringbuf_query(map, u64 flags): a fact of this moment */
export const ringbufQuery: Helper = {
  id: 134,
  name: 'bpf_ringbuf_query',
  args: ['map', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: [RINGBUF],
  run(world, [map, flags]) {
    const fact = FACTS[Number(flags)];
    return fact === undefined ? 0n : producerOf(world, map!).query(fact);
  },
  emit(b, [map, flags], context) {
    const { spec, address } = context.map(map!);
    const query = context.shared(`${spec.name}.query`, 1, (body, [asked]) => {
      const ring = body.const(address);
      const consumer = body.load(8, ring, RingHeader.consumer);
      const producer = body.load(8, ring, RingHeader.producer);
      const answers = [body.sub(producer, consumer), body.const(ringSize(spec)), consumer, producer];
      for (const [number, answer] of answers.entries()) {
        body.when(body.compare('eq', asked!, number), () => body.return(answer));
      }
      body.return(0);
    });
    return b.call(query, [flags!]);
  },
};

function finisher(id: number, name: Helper['name'], how: 'submit' | 'discard'): Helper {
  return {
    id,
    name,
    args: ['ringbufMemory', 'scalar'],
    returns: 'void',
    requires: [],
    run(world, [record]) {
      const tag = world.memory.view(record! - BigInt(TAG_SIZE), TAG_SIZE);
      const map = new DataView(tag.buffer, tag.byteOffset).getBigUint64(0, true);
      producerOf(world, map).finish(Number(record! - map), how);
      return 0n;
    },
    emit(b, [record, flags], context) {
      const place = { shared: context.shared.bind(context), wakes: context.facts.wakesConsumers };
      return b.call(ringFinish(how, place), [record!, flags!]);
    },
  };
}

/** Interpreter: writes a whole record. @returns false if there was no room */
export function outputRecord(world: HelperWorld, map: bigint, data: bigint, size: number, tag: bigint): boolean {
  const producer = producerOf(world, map);
  const record = producer.reserve(size, tag);
  if (record === undefined) return false;
  world.memory.view(map + BigInt(record), size).set(world.memory.view(data, size));
  producer.finish(record, 'submit');
  return true;
}

/**
 * The out-of-line function (data, size, flags) that writes a whole record: one for each size that is small and known, with copies
 * to fit, and one for all others.
 */
export function outputCode(
  spec: MapSpec,
  place: RingPlace,
  { operation }: Value,
  body: (b: Builder, params: Value[]) => void,
): ReturnType<RingPlace['shared']> {
  const known = operation.op === 'const' && operation.value <= SMALL ? operation.value : undefined;
  if (known === undefined) return place.shared(`${spec.name}.output`, 3, body);
  return place.shared(`${spec.name}.output.${known}`, 3, (b, [data, , flags]) =>
    body(b, [data!, b.const(known), flags!]),
  );
}

/** Copies a record's bytes. */
export function emitCopy(b: Builder, to: Value, from: Value, size: Value): void {
  if (size.operation.op === 'const') copyBytes(b, to, 0, from, 0, Number(size.operation.value));
  else copyRun(b, to, from, size);
}

/** The map that a helper was given, as its code needs it. */
export function ringOf(context: EmitContext, map: Value): { readonly spec: MapSpec; readonly place: RingPlace } {
  const { spec, address } = context.map(map);
  const { tidOffset, wakesConsumers } = context.facts;
  const place = {
    address,
    shared: context.shared.bind(context),
    thread: (b: Builder) => (tidOffset === undefined ? b.const(0) : b.threadLoad(4, tidOffset)),
    wakes: wakesConsumers,
  };
  return { spec, place };
}

/** @throws {HelperError} HELPER_NOT_A_MAP */
function producerOf(world: HelperWorld, map: bigint): RingProducer {
  const { ring } = world.mapHost(map);
  if (ring === undefined) throw new HelperError('HELPER_NOT_A_MAP', `0x${map.toString(16)} is no ring of records`);
  return ring.producer;
}
