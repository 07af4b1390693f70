/** The helpers on maps without keys. What they do is written in the map's type; Linux kernel/bpf/helpers.c. */
import type { Value } from '../ir/value.ts';
import { BLOOM_FILTER } from '../maps/bloom-filter.ts';
import { Errno, type KeylessCode, type MapEmitContext, type MapSpec } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import { HelperError } from './errors.ts';
import type { EmitContext, Helper, HelperWorld } from './helper.ts';

/** Types of maps, Linux enum bpf_map_type. */
const QUEUES = [22, 23];
const KEYLESS = [...QUEUES, BLOOM_FILTER];
const NO_KEY = new Uint8Array(0);

/** long bpf_map_push_elem(map, const void *value, u64 flags) */
export const mapPushElem: Helper = {
  id: 87,
  name: 'bpf_map_push_elem',
  args: ['map', 'mapValue', 'scalar'],
  returns: 'scalar',
  requires: [],
  maps: KEYLESS,
  run(world, [map, value, flags]) {
    const { valueSize } = world.mapSizes(map!);
    const result = world.mapHost(map!).update(NO_KEY, world.memory.view(value!, valueSize), flags!);
    return BigInt.asUintN(64, BigInt(result));
  },
  emit(b, [map, value, flags], context) {
    const { code, spec, place } = resolve(context, map!);
    return code.emitPush(b, spec, place, value!, flags!);
  },
};

/** long bpf_map_pop_elem(map, void *value) */
export const mapPopElem: Helper = {
  id: 88,
  name: 'bpf_map_pop_elem',
  args: ['map', 'mapValueWrite'],
  returns: 'scalar',
  requires: [],
  maps: QUEUES,
  run: (world, [map, value]) => answer(world, map!, value!, world.mapHost(map!).pop?.()),
  emit(b, [map, value], context) {
    const { code, spec, place } = resolve(context, map!);
    return code.emitPop(b, spec, place, value!);
  },
};

/** long bpf_map_peek_elem(map, void *value): shows the next value; of a bloom filter, whether that value may be in it */
export const mapPeekElem: Helper = {
  id: 89,
  name: 'bpf_map_peek_elem',
  args: ['map', 'mapValueWrite'],
  returns: 'scalar',
  requires: [],
  maps: KEYLESS,
  run(world, [map, value]) {
    const host = world.mapHost(map!);
    if (host.has === undefined) return answer(world, map!, value!, host.lookup(NO_KEY));
    const { valueSize } = world.mapSizes(map!);
    return host.has(world.memory.view(value!, valueSize)) ? 0n : BigInt.asUintN(64, BigInt(-Errno.ENOENT));
  },
  emit(b, [map, value], context) {
    const { code, spec, place } = resolve(context, map!);
    return code.emitPeek(b, spec, place, value!);
  },
};

/** The value for the program; zeros where there is none. */
function answer(world: HelperWorld, map: bigint, value: bigint, found: Uint8Array | undefined): bigint {
  const { valueSize } = world.mapSizes(map);
  world.memory.view(value, valueSize).set(found ?? new Uint8Array(valueSize));
  return found === undefined ? BigInt.asUintN(64, BigInt(-Errno.ENOENT)) : 0n;
}

function resolve(context: EmitContext, map: Value): { code: KeylessCode; spec: MapSpec; place: MapEmitContext } {
  const { spec, address } = context.map(map);
  const { keyless, name } = mapTypeOf(spec);
  if (keyless === undefined) {
    const reason = `cannot push to map ${spec.name}: its type is ${name}, wanted one without keys`;
    throw new HelperError('HELPER_HAS_KEYS', reason);
  }
  const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
  return { code: keyless, spec, place };
}
