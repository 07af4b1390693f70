/**
 * Where everything of a hash map lies, and the words that link it: the part that host and emitted code must agree on.
 *
 *     0     | seed | pad to 64 |                     read by every operation, written by none
 *     64    | free list | spare list | hand | pad to 128 |  heads, link words; how many elements eviction looked at
 *     128   | bucket 0 | bucket 1 | ...              heads, link words; a power of two of them
 *     ...   | element | element | ...                maxEntries for the free list, then SPARES for the spare list
 *
 *     element:  | next: link word | value, padded to 8 | key, padded to 8 with zeros | use: u32, of lru_hash |  padded to 16
 *               0                 8
 *
 * A link word names an element by its byte offset in the map, a multiple of 16, and leaves the low bits for the state
 * of the element that *holds* the word. The tag grows with every change of the word, whatever list its element is in:
 * who saw a word, and sees it again, knows that nothing happened in between.
 *
 *     63      tag      32 31   offset   4 3 2    1        0
 *     |                 |               | 0 | replaced | deleted |
 *
 * In a bucket's chain, offset 0 is the end. In the free and spare list END is the end and 0 stands for the element right
 * behind: so zeroed memory is a list of all elements already, and pages nobody used are never touched.
 */
import { alignUp } from '../bytes/align.ts';
import type { MapSpec } from './map-type.ts';

/** Byte offsets in the header. */
export const Header = { seed: 0, free: 64, spare: 72, hand: 80, size: 128 } as const;

/** Byte offsets in an element. */
export const Element = { next: 0, value: 8 } as const;

/** States of an element, in the low bits of its own `next`; 0 is live. */
export const State = { DELETED: 1, REPLACED: 2, mask: 3 } as const;

/**
 * What `use` says of an element: hints, on which nothing depends but who is evicted. One that is free is passed over;
 * one that was looked at since the hand came by is spared once.
 */
export const Use = { FREE: 0, LINKED: 1, LOOKED_AT: 2 } as const;

/** The map type whose full maps evict: BPF_MAP_TYPE_LRU_HASH. */
export const LRU_HASH = 9;

/** The offset that ends the free and the spare list: inside the header, so no element's. */
export const END = 16;

/** Elements beyond maxEntries, from which updates of large values take: one for each update under way at once. */
export const SPARES = 128;

/** Multiplier of the key hash: 2^64 divided by the golden ratio. */
export const GOLDEN = 0x9e37_79b9_7f4a_7c15n;

/** Byte offsets and counts of one map. */
export interface HashLayout {
  readonly bucketCount: number;
  /** The hash is shifted right by this to become a bucket's index. */
  readonly bucketShift: number;
  /** Offset of the key in an element. */
  readonly key: number;
  /** Offset of `use`; undefined if the map does not evict. */
  readonly use: number | undefined;
  readonly elementSize: number;
  /** Offset of the first element of the free list; the first of the spare list is `firstSpare`, the last ends at `end`. */
  readonly firstElement: number;
  readonly firstSpare: number;
  readonly end: number;
}

/** Where the elements of a map lie, of whatever type it is: from `firstElement` to `end`, each of `elementSize`. */
export type Elements = Pick<HashLayout, 'firstElement' | 'end' | 'elementSize'>;

/** The layout of a map; meaningful only if it is not larger than a map may be. */
export function hashLayout({ type, keySize, valueSize, maxEntries }: MapSpec): HashLayout {
  const bits = Math.max(1, Math.ceil(Math.log2(maxEntries)));
  const bucketCount = 2 ** bits;
  const key = Element.value + alignUp(valueSize, 8);
  const behindKey = key + alignUp(keySize, 8);
  const use = type === LRU_HASH ? behindKey : undefined;
  const elementSize = alignUp(behindKey + (use === undefined ? 0 : 8), 16);
  const firstElement = alignUp(Header.size + 8 * bucketCount, 64);
  const firstSpare = firstElement + elementSize * maxEntries;
  const end = firstSpare + elementSize * SPARES;
  return { bucketCount, bucketShift: 64 - bits, key, use, elementSize, firstElement, firstSpare, end };
}

/** The number of the bucket of a key, given as words. */
export function bucketOf({ bucketShift }: HashLayout, seed: bigint, key: Iterable<bigint>): number {
  let hash = 0n;
  for (const word of key) {
    hash = BigInt.asUintN(64, BigInt.asUintN(64, hash ^ word) * GOLDEN);
    hash = BigInt.asUintN(64, (hash ^ (hash >> 32n)) * seed);
  }
  return Number(hash >> BigInt(bucketShift));
}

/** The offset that a link word names. */
export function offsetOf(word: bigint): number {
  return Number(word & 0xffff_fff0n);
}

/** The word that follows `word` in the same place: next tag, other low half. */
export function link(word: bigint, low: number): bigint {
  return BigInt.asIntN(64, (((word >> 32n) + 1n) << 32n) | BigInt(low));
}

/** Whether `offset` is where an element of a map begins: what the target wrote need not be. */
export function isElement({ firstElement, end, elementSize }: Elements, offset: number): boolean {
  return offset >= firstElement && offset < end && (offset - firstElement) % elementSize === 0;
}

/** A seed of a map's hashes: odd, so that multiplying by it loses nothing. */
export function randomOdd(): bigint {
  return crypto.getRandomValues(new BigUint64Array(1))[0]! | 1n;
}
