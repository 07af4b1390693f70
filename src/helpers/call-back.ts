/** Helpers that call a function of the program: so many times, or for every element of a map. Linux kernel/bpf/bpf_iter.c. */
import { Errno } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import { HelperError } from './errors.ts';
import type { Helper } from './helper.ts';
import { result } from './result.ts';

/** BPF_MAX_LOOPS */
const MAX_LOOPS = 1 << 23;
/** Types of maps, Linux enum bpf_map_type: hash, array, per CPU and with eviction. */
const ITERABLE = [1, 2, 5, 6, 9, 10];

/** long bpf_loop(u32 count, function, void *data, u64 flags): how often it was called: its index, until it returns 1 */
export const loop: Helper = {
  id: 181,
  name: 'bpf_loop',
  args: ['scalar', 'function', 'callbackContext', 'scalar'],
  returns: 'scalar',
  requires: [],
  callback: { args: ['scalar', 'callbackContext'], returns: [0n, 1n], counted: true },
  run(world, [times, fn, data, flags]) {
    const count = BigInt.asUintN(32, times!);
    if (flags !== 0n) return result(-Errno.EINVAL);
    if (count > BigInt(MAX_LOOPS)) return result(-Errno.E2BIG);
    for (let index = 0n; index < count; index++) {
      if (world.callBack(fn!, [index, data!]) !== 0n) return index + 1n;
    }
    return count;
  },
  emit(b, [times, fn, data, flags], context) {
    const count = b.unary('zext32', times!);
    const refuse = (errno: number) => () => -errno;
    return b.choose(
      b.compare('ne', flags!, 0),
      refuse(Errno.EINVAL),
      () =>
        b.choose(
          b.compare('ugt', count, MAX_LOOPS),
          refuse(Errno.E2BIG),
          () => {
            const [calls] = b.loop([b.const(0)], 1, (round, [index]) => {
              b.when(b.compare('eq', index!, count), () => round.leave(index!));
              const stops = context.callBack(b, fn!, [index!, data!]);
              const following = b.add(index!, 1);
              b.when(stops, () => round.leave(following));
              round.next(following);
            });
            return calls!;
          },
          'cold',
        ),
      'cold',
    );
  },
};

/** long bpf_for_each_map_elem(map, function, void *data, u64 flags): how many elements it was called for, until it returns 1 */
export const forEachMapElem: Helper = {
  id: 164,
  name: 'bpf_for_each_map_elem',
  args: ['map', 'function', 'callbackContext', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: ITERABLE,
  callback: { args: ['map', 'mapKey', 'mapValue', 'callbackContext'], returns: [0n, 1n], counted: false },
  run(world, [map, fn, data, flags]) {
    if (flags !== 0n) return result(-Errno.EINVAL);
    const visit = (key: bigint, value: bigint) => world.callBack(fn!, [map!, key, value, data!]);
    return result(world.mapEach(map!, (key, value) => (visit(key, value) === 0n ? 'go on' : 'stop')));
  },
  emit(b, [map, fn, data, flags], context) {
    const { spec, address } = context.map(map!);
    const { each, name } = mapTypeOf(spec);
    if (each === undefined) {
      throw new HelperError('HELPER_NOT_ITERABLE', `cannot go through map ${spec.name}: its type is ${name}`);
    }
    const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
    return b.choose(
      b.compare('ne', flags!, 0),
      () => -Errno.EINVAL,
      () => each.emitEach(b, spec, place, (key, value) => context.callBack(b, fn!, [map!, key, value, data!])),
      'cold',
    );
  },
};
