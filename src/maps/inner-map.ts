/** Which maps a map of maps takes: those that programs may use in place of its template. Linux kernel/bpf/map_in_map.c, bpf_map_meta_equal. */
import type { MapSpec } from './map-type.ts';
import { mapTypeOf } from './table.ts';

/** Of these a key is a number that the verifier compares with how many there are: array, percpu_array. */
const COUNTED: readonly number[] = [2, 6];

/** Why a map cannot be where `template` is expected; undefined if it can. */
export function whyNoInnerMap(map: MapSpec, template: MapSpec): string | undefined {
  if (mapTypeOf(map).holds !== undefined) return 'its values are maps or programs themselves';
  for (const field of ['type', 'keySize', 'valueSize', 'flags'] as const) {
    if (map[field] !== template[field]) return `its ${field} is ${map[field]}, wanted ${template[field]}`;
  }
  if (!COUNTED.includes(map.type) || map.maxEntries === template.maxEntries) return undefined;
  return `it has ${map.maxEntries} entries, wanted ${template.maxEntries}`;
}
