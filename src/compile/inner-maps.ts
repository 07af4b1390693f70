/**
 * Helpers that are given a map out of a map of maps. What a program has for it is its number, and which one it is only the running
 * program knows: so the helper is written for each map that it may be, as if that were the only one.
 */
import type { EmitMap } from '../helpers/helper.ts';
import type { Prototype, ReturnType } from '../helpers/prototype.ts';
import type { Builder } from '../ir/builder.ts';
import type { Value } from '../ir/value.ts';
import { whyNoInnerMap } from '../maps/inner-map.ts';
import { Errno, type MapSpec } from '../maps/map-type.ts';

/** A map and its number. */
export interface NumberedMap {
  readonly number: number;
  readonly map: EmitMap;
}

/** The maps that may be where `template` is expected. @param maps the object's, in order */
export function innerMaps(maps: Iterable<EmitMap>, template: MapSpec): readonly NumberedMap[] {
  return [...maps].flatMap((map, index) =>
    whyNoInnerMap(map.spec, template) === undefined ? [{ number: index + 1, map }] : [],
  );
}

/** What comes back where a pointer or nothing does: nothing. */
const POINTERS: readonly ReturnType[] = ['mapValueOrNull', 'ringbufMemoryOrNull'];

/**
 * Writes a helper for each map, and what of them is done; a number that is none of theirs, which the target has written, finds nothing.
 *
 * @param emit writes it for one
 */
export function emitForEach(
  b: Builder,
  number: Value,
  maps: readonly NumberedMap[],
  { returns }: Pick<Prototype, 'returns'>,
  emit: (map: EmitMap) => Value,
): Value {
  const [first, ...rest] = maps;
  if (first === undefined) return b.const(POINTERS.includes(returns) ? 0 : -Errno.EINVAL);
  return b.choose(
    b.compare('eq', number, first.number),
    () => emit(first.map),
    () => emitForEach(b, number, rest, { returns }, emit),
  );
}
