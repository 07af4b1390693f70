/**
 * Puts a hash map in order while no thread works on it: finishes the deletions that killed threads began, and returns
 * the elements that they had taken and not yet linked. Trusts nothing it reads.
 */
import { END, Header, hashLayout, isElement, link, offsetOf, State } from './hash-layout.ts';
import type { MapMemory, MapSpec } from './map-type.ts';

/** Restores the map's full capacity; its entries stay. */
export function recoverHash({ words }: MapMemory, spec: MapSpec): void {
  const layout = hashLayout(spec);
  const { bucketCount, firstElement, elementSize, end } = layout;
  const indexOf = (element: number) => (element - firstElement) / elementSize;
  const linked = new Uint8Array(indexOf(end));
  let entries = 0;

  const point = (from: number, low: number) => {
    const word = words[from / 8]!;
    if (Number(word & 0xffff_ffffn) !== low) words[from / 8] = link(word, low);
  };

  /** The first live element that a link word leads to; 0 if there is none, or one that was met before. */
  const follow = (word: bigint): number => {
    for (let steps = 0; steps < linked.length; steps++) {
      const element = offsetOf(word);
      if (!isElement(layout, element) || linked[indexOf(element)] !== 0) return 0;
      word = words[element / 8]!;
      if ((word & BigInt(State.mask)) === 0n) return element;
    }
    return 0;
  };

  for (let bucket = 0; bucket < bucketCount; bucket++) {
    let from = Header.size + 8 * bucket;
    while (from !== 0) {
      const element = entries < spec.maxEntries ? follow(words[from / 8]!) : 0;
      point(from, element);
      if (element !== 0) {
        linked[indexOf(element)] = 1;
        entries++;
      }
      from = element;
    }
  }

  let from: number = Header.free;
  let free = spec.maxEntries - entries;
  for (let element = firstElement; element < end; element += elementSize) {
    if (linked[indexOf(element)] !== 0) continue;
    if (free-- === 0) {
      point(from, END);
      from = Header.spare;
    }
    const implied = from >= firstElement && from + elementSize === element;
    point(from, implied ? 0 : element);
    from = element;
  }
  point(from, END);
}
