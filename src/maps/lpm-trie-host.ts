/**
 * The host's side of lpm_trie: the same steps as the emitted code, by Atomics. The target may write anything anywhere meanwhile: lengths
 * that do not become shorter end a lookup.
 */
import { viewOf } from '../bytes/struct.ts';
import { hashHost } from './hash-host.ts';
import { floorOffset, type LpmTrieLayout, lpmTrieLayout, PREFIX_SIZE } from './lpm-trie-layout.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, UpdateFlag } from './map-type.ts';
import { requireKey, requireValue } from './memory.ts';

/** The map in `memory`, for the host; `table` is the hash map in it. */
export function lpmTrieHost({ halves }: MapMemory, table: MapMemory, spec: MapSpec): HostMap {
  const layout = lpmTrieLayout(spec);
  const all = hashHost(table, layout.entries);

  /** The key in the table of the entry that a lookup finds. */
  const find = (key: Uint8Array): { readonly entry: Uint8Array; readonly value: Uint8Array } | undefined => {
    let length = lengthOf(spec, key);
    while (length >= 0 && length <= layout.longest) {
      const floor = (Atomics.load(halves, floorOffset(length) / 4) >>> 0) - 1;
      if (floor < 0 || floor > length) return undefined;
      const entry = entryOf(layout, key, floor);
      const value = all.lookup(entry);
      if (value !== undefined) return { entry, value };
      length = floor - 1;
    }
    return undefined;
  };

  return {
    lookup: (key) => find(key)?.value,

    matching(key) {
      const found = find(key);
      return found && keyOf(layout, found.entry);
    },

    update(key, value, flags) {
      const length = lengthOf(spec, key);
      requireValue(spec, value);
      if (flags > UpdateFlag.EXIST || length > layout.longest) return -Errno.EINVAL;
      if (flags !== BigInt(UpdateFlag.EXIST)) noteLength(halves, layout, length);
      const result = all.update(entryOf(layout, key, length), value, flags);
      return result === -Errno.E2BIG ? -Errno.ENOSPC : result;
    },

    delete(key) {
      const length = lengthOf(spec, key);
      return length > layout.longest ? -Errno.EINVAL : all.delete(entryOf(layout, key, length));
    },

    *entries() {
      for (const [entry, value] of all.entries()) yield [keyOf(layout, entry), value];
    },
  };
}

/** Finds out anew which lengths are in use, while nobody works on the map. Trusts nothing it reads. */
export function recoverLpmTrie({ halves }: MapMemory, table: MapMemory, spec: MapSpec): void {
  const layout = lpmTrieLayout(spec);
  halves.fill(0, 0, floorOffset(layout.longest + 1) / 4);
  for (const [entry] of hashHost(table, layout.entries).entries()) {
    const length = viewOf(entry).getUint32(layout.prefix, true);
    if (length <= layout.longest) noteLength(halves, layout, length);
  }
}

/** From the longest down: the floor of the length itself says that all are done. */
function noteLength(halves: Int32Array, { longest }: LpmTrieLayout, length: number): void {
  if (Atomics.load(halves, floorOffset(length) / 4) === length + 1) return;
  for (let at = longest; at >= length; at--) {
    for (;;) {
      const old = Atomics.load(halves, floorOffset(at) / 4);
      if (old > length) break;
      if (Atomics.compareExchange(halves, floorOffset(at) / 4, old, length + 1) === old) break;
    }
  }
}

function lengthOf(spec: MapSpec, key: Uint8Array): number {
  requireKey(spec, key);
  return viewOf(key).getUint32(0, true);
}

/** The key in the table for a prefix of so many bits. */
function entryOf({ dataSize, entries, prefix }: LpmTrieLayout, key: Uint8Array, length: number): Uint8Array {
  const entry = new Uint8Array(entries.keySize);
  const whole = length >>> 3;
  entry.set(key.subarray(PREFIX_SIZE, PREFIX_SIZE + whole));
  if (whole < dataSize) entry[whole] = key[PREFIX_SIZE + whole]! & ~(0xff >> (length & 7));
  viewOf(entry).setUint32(prefix, length, true);
  return entry;
}

/** The key of a program for one in the table. */
function keyOf({ dataSize, prefix }: LpmTrieLayout, entry: Uint8Array): Uint8Array {
  const key = new Uint8Array(PREFIX_SIZE + dataSize);
  key.set(entry.subarray(prefix, prefix + PREFIX_SIZE));
  key.set(entry.subarray(0, dataSize), PREFIX_SIZE);
  return key;
}
