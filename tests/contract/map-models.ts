/** What maps of a kind do, in a few lines that cannot be wrong: the rules of the kernel's array and hash maps. */
import { toHex } from '../../src/bytes/hex.ts';
import { viewOf } from '../../src/bytes/struct.ts';
import { Errno, type MapSpec } from '../../src/maps/map-type.ts';
import type { ModelMap } from './map-operations.ts';

/** Values by index. */
export function arrayModel({ maxEntries, valueSize }: MapSpec): ModelMap {
  const values = Array.from({ length: maxEntries }, (): Uint8Array => new Uint8Array(valueSize));
  const indexOf = (key: Uint8Array) => viewOf(key).getUint32(0, true);
  return {
    lookup: (key) => values[indexOf(key)],
    update(key, value, flags) {
      if (flags > 2n) return -Errno.EINVAL;
      if (indexOf(key) >= maxEntries) return -Errno.E2BIG;
      if (flags === 1n) return -Errno.EEXIST;
      values[indexOf(key)] = value;
      return 0;
    },
    delete: () => -Errno.EINVAL,
    entries: () => values.map((value, index) => [new Uint8Array(new Uint32Array([index]).buffer), value] as const),
  };
}

/** Values by key. One that evicts does the same as long as it has room: give it no `maxEntries`. */
export function hashModel({ maxEntries = Number.POSITIVE_INFINITY }: Partial<MapSpec>): ModelMap {
  const entries = new Map<string, readonly [Uint8Array, Uint8Array]>();
  return {
    lookup: (key) => entries.get(toHex(key))?.[1],
    update(key, value, flags) {
      const exists = entries.has(toHex(key));
      if (flags > 2n) return -Errno.EINVAL;
      if (exists && flags === 1n) return -Errno.EEXIST;
      if (!exists && flags === 2n) return -Errno.ENOENT;
      if (!exists && entries.size === maxEntries) return -Errno.E2BIG;
      entries.set(toHex(key), [key, value]);
      return 0;
    },
    delete: (key) => (entries.delete(toHex(key)) ? 0 : -Errno.ENOENT),
    entries: () => entries.values(),
  };
}
