/**
 * Where everything of an lpm_trie lies, and how keys are kept: the part that host and emitted code must agree on.
 *
 *     0      | floor 0 | floor 1 | ...  u32 each, up to the longest prefix | pad to 64 |
 *     table  | a hash map (hash-layout.ts) of all entries, whatever the lengths of their prefixes |
 *
 *     key there:  | data, the bits behind the prefix 0 | pad | prefix length u32 |  a multiple of 8 bytes
 *
 * `floor p` is 1 more than the longest prefix of at most p bits that any entry ever had, 0 if there was none: so a lookup
 * goes from length to length without trying those that nobody uses.
 */
import { alignUp } from '../bytes/align.ts';
import { hash } from './hash.ts';
import type { MapSpec } from './map-type.ts';

/** What lies in front of the data in a program's key: the length of its prefix in bits. */
export const PREFIX_SIZE = 4;

/** Byte offsets and sizes of one map. */
export interface LpmTrieLayout {
  /** In bytes. */
  readonly dataSize: number;
  /** In bits. */
  readonly longest: number;
  /** Offset of the prefix length in a key of the table; words of data lie in front of it. */
  readonly prefix: number;
  readonly table: number;
  /** The hash map that holds the entries. */
  readonly entries: MapSpec;
  readonly end: number;
}

/** The layout of a map; meaningful only if it is not larger than a map may be. */
export function lpmTrieLayout(spec: MapSpec): LpmTrieLayout {
  const dataSize = spec.keySize - PREFIX_SIZE;
  const longest = 8 * dataSize;
  const table = alignUp(floorOffset(longest + 1), 64);
  const keySize = alignUp(dataSize + PREFIX_SIZE, 8);
  const entries = { ...spec, type: hash.id, keySize, flags: 0 };
  return { dataSize, longest, prefix: keySize - PREFIX_SIZE, table, entries, end: table + hash.size(entries) };
}

/** Byte offset of a floor. */
export function floorOffset(length: number): number {
  return 4 * length;
}
