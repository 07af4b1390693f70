/** Map values that are known before the program runs: constants of the object that nobody may change. */
import type { MapSpec } from '../maps/map-type.ts';
import { MapFlag } from '../maps/spec-check.ts';
import { constantOf } from './scalar.ts';
import { constantBytes } from './stack-access.ts';
import type { Step } from './step.ts';
import type { Pointer } from './value.ts';

/** The number at an offset of a map's only value; undefined if it may change. */
export function bytesAt(map: MapSpec, offset: number, size: number): bigint | undefined {
  const bytes = map.initialValue;
  if (bytes === undefined || (map.flags & MapFlag.RDONLY_PROG) === 0) return undefined;
  let number = 0n;
  // What the object does not say is zero.
  for (let at = offset + size - 1; at >= offset; at--) number = (number << 8n) | BigInt(bytes[at] ?? 0);
  return number;
}

/** Of these a number says which element: array, percpu_array. */
const INDEXED = [2, 6];
const KEY_SIZE = 4;

/** The index that a key is known to hold, if the map's elements are counted; safety rests on it then. */
export function constantMapKey(step: Step, map: MapSpec, { region, offset, variable }: Pointer): number | undefined {
  if (region.kind !== 'stack' || !INDEXED.includes(map.type) || map.keySize !== KEY_SIZE) return undefined;
  if (constantOf(variable) !== 0n || (offset & (KEY_SIZE - 1)) !== 0) return undefined;
  const frame = step.state.frames[region.frame]!;
  return constantBytes(frame, offset, KEY_SIZE);
}
