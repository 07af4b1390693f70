/** The helpers on single elements of maps. What they do is written in the map's type; Linux kernel/bpf/helpers.c. */
import type { Value } from '../ir/value.ts';
import type { MapEmitContext, MapSpec, MapType } from '../maps/map-type.ts';
import { SLOTS } from '../maps/slots.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { EmitContext, Helper } from './helper.ts';

/** percpu_hash, percpu_array and lru_percpu_hash, Linux enum bpf_map_type. */
const PER_CPU = [5, 6, 10];

/** void *bpf_map_lookup_elem(map, const void *key) */
export const mapLookupElem: Helper = {
  id: 1,
  name: 'bpf_map_lookup_elem',
  args: ['map', 'mapKey'],
  returns: 'mapValueOrNull',
  requires: [],
  run(world, [map, key]) {
    const { keySize } = world.mapSizes(map!);
    return world.mapLookup(map!, world.memory.view(key!, keySize));
  },
  emit(b, [map, key], context) {
    const { type, spec, place } = resolve(context, map!);
    return type.emitLookup(b, spec, place, key!);
  },
};

/** long bpf_map_update_elem(map, const void *key, const void *value, u64 flags) */
export const mapUpdateElem: Helper = {
  id: 2,
  name: 'bpf_map_update_elem',
  args: ['map', 'mapKey', 'mapValue', 'scalar'],
  returns: 'scalar',
  requires: [],
  run(world, [map, key, value, flags]) {
    const { keySize, valueSize } = world.mapSizes(map!);
    const { memory } = world;
    return result(world.mapUpdate(map!, memory.view(key!, keySize), memory.view(value!, valueSize), flags!));
  },
  emit(b, [map, key, value, flags], context) {
    const { type, spec, place } = resolve(context, map!);
    return type.emitUpdate(b, spec, place, key!, value!, flags!);
  },
};

/** long bpf_map_delete_elem(map, const void *key) */
export const mapDeleteElem: Helper = {
  id: 3,
  name: 'bpf_map_delete_elem',
  args: ['map', 'mapKey'],
  returns: 'scalar',
  requires: [],
  run(world, [map, key]) {
    const { keySize } = world.mapSizes(map!);
    return result(world.mapDelete(map!, world.memory.view(key!, keySize)));
  },
  emit(b, [map, key], context) {
    const { type, spec, place } = resolve(context, map!);
    return type.emitDelete(b, spec, place, key!);
  },
};

/**
 * void *bpf_map_lookup_percpu_elem(map, const void *key, u32 slot): values belong to slots here, not to CPUs: `slot` is the number of one,
 * and who adds up all of them goes on to the last.
 */
export const mapLookupPercpuElem: Helper = {
  id: 195,
  name: 'bpf_map_lookup_percpu_elem',
  args: ['map', 'mapKey', 'scalar'],
  returns: 'mapValueOrNull',
  requires: [],
  maps: PER_CPU,
  run(world, [map, key, slot]) {
    const number = Number(BigInt.asUintN(32, slot!));
    if (number >= SLOTS) return 0n;
    const { keySize } = world.mapSizes(map!);
    return world.mapLookup(map!, world.memory.view(key!, keySize), number);
  },
  emit(b, [map, key, slot], context) {
    const { type, spec, place } = resolve(context, map!);
    const number = b.unary('zext32', slot!);
    return b.choose(
      b.compare('ult', number, SLOTS),
      () => type.emitLookup(b, spec, { ...place, slot: () => number }, key!),
      () => 0,
    );
  },
};

function resolve(context: EmitContext, map: Value): { type: MapType; spec: MapSpec; place: MapEmitContext } {
  const { spec, address } = context.map(map);
  const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
  return { type: mapTypeOf(spec), spec, place };
}

function result(errno: number): bigint {
  return BigInt.asUintN(64, BigInt(errno));
}
