/** The three helpers on map elements. What they do is written in the map's type; Linux kernel/bpf/helpers.c. */
import type { Value } from '../ir/value.ts';
import type { MapEmitContext, MapSpec, MapType } from '../maps/map-type.ts';
import { mapTypeOf } from '../maps/table.ts';
import type { EmitContext, Helper } from './helper.ts';

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

function resolve(context: EmitContext, map: Value): { type: MapType; spec: MapSpec; place: MapEmitContext } {
  const { spec, address } = context.map(map);
  const place = { address, shared: context.shared.bind(context), slot: context.slot.bind(context) };
  return { type: mapTypeOf(spec), spec, place };
}

function result(errno: number): bigint {
  return BigInt.asUintN(64, BigInt(errno));
}
