/** Map values that are known before the program runs: constants of the object that nobody may change. */
import type { MapSpec } from '../maps/map-type.ts';
import { MapFlag } from '../maps/spec-check.ts';

/** The number at an offset of a map's only value; undefined if it may change. */
export function bytesAt(map: MapSpec, offset: number, size: number): bigint | undefined {
  const bytes = map.initialValue;
  if (bytes === undefined || (map.flags & MapFlag.RDONLY_PROG) === 0) return undefined;
  let number = 0n;
  // What the object does not say is zero.
  for (let at = offset + size - 1; at >= offset; at--) number = (number << 8n) | BigInt(bytes[at] ?? 0);
  return number;
}
