/** The helper that drains a ring which the host fills; how is written in maps/user-ringbuf-code.ts. Linux kernel/bpf/ringbuf.c. */
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { Errno } from '../maps/map-type.ts';
import { RingFlag } from '../maps/ringbuf-code.ts';
import { emitDrain } from '../maps/user-ringbuf-code.ts';
import { UNKNOWN_THREAD, USER_RINGBUF } from '../maps/user-ringbuf-layout.ts';
import { Dynptr } from './dynptr.ts';
import { HelperError } from './errors.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

const ALL_FLAGS = BigInt(RingFlag.NO_WAKEUP | RingFlag.FORCE_WAKEUP);

/** long bpf_user_ringbuf_drain(map, function, void *data, u64 flags): how many samples it was called for, until it returns 1 */
export const userRingbufDrain: Helper = {
  id: 209,
  name: 'bpf_user_ringbuf_drain',
  args: ['map', 'function', 'callbackContext', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: [USER_RINGBUF],
  callback: { args: ['dynptr', 'callbackContext'], returns: [0n, 1n], counted: false },
  run(world, [map, fn, data, flags]) {
    if (flags! > ALL_FLAGS) return result(-Errno.EINVAL);
    const { samples } = world.mapHost(map!);
    if (samples === undefined) throw new HelperError('HELPER_NOT_A_MAP', `0x${map!.toString(16)} is no user ring`);
    const count = samples.drain((at, size) => {
      const dynptr = new BigUint64Array(Dynptr.bytes / 8);
      dynptr[Dynptr.data / 8] = map! + BigInt(at);
      dynptr[Dynptr.size / 8] = BigInt(size);
      return world.withBytes(new Uint8Array(dynptr.buffer), (address) => world.callBack(fn!, [address, data!]));
    });
    return result(count);
  },
  emit(b, [map, fn, data, flags], context) {
    const { spec, address } = context.map(map!);
    const dynptr = b.stack(Dynptr.bytes);
    const { tidOffset, outside, wakesConsumers } = context.facts;
    const namespace = BigInt.asUintN(32, outside?.pidNamespace?.inode ?? 0n);
    const place = {
      address,
      wakes: wakesConsumers,
      thread(b: Builder) {
        const thread = tidOffset === undefined ? b.const(UNKNOWN_THREAD) : b.threadLoad(4, tidOffset);
        return b.or(thread, b.const(namespace << 32n));
      },
      visit(start: Value, size: Value) {
        b.store(8, dynptr, Dynptr.data, start);
        b.store(8, dynptr, Dynptr.size, size);
        return context.callBack(b, fn!, [dynptr, data!]);
      },
    };
    return emitDrain(b, spec, place, flags!);
  },
};
