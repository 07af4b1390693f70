/** A hostile target's writes into a map's memory: places and words that a reader must not believe, by the seed the same each time. */
import type { MapMemory } from '../../src/maps/map-type.ts';

/** Numbers from 0 to 2^32 - 1 (xorshift32). @param seed not 0 */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}

/** Writes one word somewhere, as often as not near the beginning, where headers are. */
export function scribble({ halves }: MapMemory, random: () => number): void {
  const place = random();
  const at = (place & 1) === 0 ? (place >>> 1) % halves.length : (place >>> 1) % Math.min(128, halves.length);
  const word = random();
  halves[at] = WORDS[place >>> 29]!(word, halves.length * 4);
}

/** What is written: anything, an offset, a position, a length with and without flags, near limits, a number from elsewhere, zero. */
const WORDS: readonly ((word: number, size: number) => number)[] = [
  (word) => word,
  (word, size) => (word % size) & ~7,
  (word, size) => ((word % size) & ~7) + 1,
  (word) => word & 0xffff,
  (word) => (word & 0xfff) | 0x8000_0000,
  (word) => 0x3fff_ffff - (word & 0xff),
  (word) => word & 0x8000_00ff,
  () => 0,
];
