/**
 * How large the maps of an object become: as it says, as whoever loads it says, and else, of map types for which no number is wrong,
 * as is usual. Tools leave such numbers out of their objects and set them before they load.
 */
import type { MapSpec } from '../maps/map-type.ts';
import { MAP_TYPES } from '../maps/table.ts';
import { RuntimeError } from './errors.ts';

/** A size that nobody has said. */
export interface UsualSize {
  readonly map: string;
  /** The kernel's name of it. */
  readonly field: 'value_size' | 'max_entries';
  readonly size: number;
}

/** The maps with their sizes, and which of these are the usual ones. @throws {RuntimeError} RUNTIME_NO_MAP */
export function sizeMaps(
  maps: readonly MapSpec[],
  maxEntries: ReadonlyMap<string, number> = new Map(),
): { readonly maps: readonly MapSpec[]; readonly usual: readonly UsualSize[] } {
  for (const name of maxEntries.keys()) {
    if (maps.some((map) => map.name === name)) continue;
    const reason = `the object has ${maps.map((map) => map.name).join(', ') || 'none'}`;
    throw new RuntimeError('RUNTIME_NO_MAP', `cannot set max_entries of map ${name}: ${reason}`);
  }
  const usual: UsualSize[] = [];
  const sized = maps.map((spec) => {
    const asked = { ...spec, maxEntries: maxEntries.get(spec.name) ?? spec.maxEntries };
    const sizes = MAP_TYPES.get(spec.type)?.usual ?? {};
    const valueSize = asked.valueSize || (sizes.valueSize ?? 0);
    const entries = maxEntries.has(spec.name) ? asked.maxEntries : asked.maxEntries || (sizes.maxEntries ?? 0);
    if (valueSize !== asked.valueSize) usual.push({ map: spec.name, field: 'value_size', size: valueSize });
    if (entries !== asked.maxEntries) usual.push({ map: spec.name, field: 'max_entries', size: entries });
    return { ...asked, valueSize, maxEntries: entries };
  });
  return { maps: sized, usual };
}
