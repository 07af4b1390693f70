/**
 * The host's side of the hash map: the same steps as the emitted code (see hash.ts), by Atomics. The target may write
 * anything anywhere meanwhile, so every walk is bounded and a link to what is no element ends its chain.
 */
import { giveTo, takeFrom } from './free-list.ts';
import {
  bucketOf,
  Element,
  type HashLayout,
  Header,
  hashLayout,
  isElement,
  link,
  offsetOf,
  State,
  Use,
} from './hash-layout.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, UpdateFlag } from './map-type.ts';
import { loadBytes, requireKey, requireValue, storeBytes, wordsOf } from './memory.ts';

/** Tries beyond what a walk over all elements takes, before an operation gives up; more than honest threads cause. */
const PATIENCE = 1_000_000;

/** The hash map in `memory`, for the host. */
export function hashHost(memory: MapMemory, spec: MapSpec): HostMap {
  const chains = new Chains(memory, spec);
  return {
    lookup(key) {
      requireKey(spec, key);
      const found = chains.operate(key, (place) => {
        if (place.element === undefined) return { value: undefined };
        const value = loadBytes(memory, place.element + Element.value, spec.valueSize);
        return chains.load(place.element) === place.next ? { value } : undefined;
      });
      return found?.value;
    },

    update(key, value, flags) {
      requireKey(spec, key);
      requireValue(spec, value);
      if (flags > UpdateFlag.EXIST) return -Errno.EINVAL;
      const result = chains.operate(key, (place, steps) =>
        place.element === undefined
          ? insert(chains, place, key, value, flags, steps)
          : replace(chains, place, key, value, flags, steps),
      );
      return result ?? -Errno.EBUSY;
    },

    delete(key) {
      requireKey(spec, key);
      const result = chains.operate(key, (place, steps) => {
        if (place.element === undefined) return -Errno.ENOENT;
        const dead = link(place.next, offsetOf(place.next) | State.DELETED);
        if (!chains.exchange(place.element, place.next, dead)) return undefined;
        chains.finish(place, dead, steps);
        return 0;
      });
      return result ?? -Errno.EBUSY;
    },

    *entries() {
      const steps = chains.steps();
      let left = spec.maxEntries;
      for (let bucket = 0; bucket < chains.layout.bucketCount && left > 0; bucket++) {
        const entries = chains.snapshot(Header.size + 8 * bucket, steps).slice(0, left);
        left -= entries.length;
        yield* entries;
      }
    },
  };
}

/** Where the value of a key lies, in bytes; undefined if the key is absent. */
export function hashValueOffset(memory: MapMemory, spec: MapSpec, key: Uint8Array): number | undefined {
  requireKey(spec, key);
  const element = new Chains(memory, spec).operate(key, (place) => place.element ?? 0);
  return element === undefined || element === 0 ? undefined : element + Element.value;
}

/** Notes that a program's like looked at the value there, where that decides who is evicted. */
export function noteHashUse({ halves }: MapMemory, spec: MapSpec, valueOffset: number): void {
  const { use } = hashLayout(spec);
  if (use !== undefined) Atomics.store(halves, (valueOffset - Element.value + use) / 4, Use.LOOKED_AT);
}

/** Adds a key that is absent; undefined if the bucket changed since, and all is undone. */
function insert(
  chains: Chains,
  place: Absent,
  key: Uint8Array,
  value: Uint8Array,
  flags: bigint,
  steps: Steps,
): number | undefined {
  if (flags === BigInt(UpdateFlag.EXIST)) return -Errno.ENOENT;
  const element = chains.take(Header.free);
  if (element === undefined) {
    if (chains.load(place.bucket) !== place.head) return undefined;
    if (chains.layout.use === undefined) return -Errno.E2BIG;
    return chains.evict(steps) ? undefined : -Errno.ENOMEM;
  }
  chains.fill(element, key, value, offsetOf(place.head), Use.LINKED);
  if (chains.exchange(place.bucket, place.head, link(place.head, element))) return 0;
  chains.give(Header.free, element);
  return undefined;
}

/** Puts a spare element in the place of one with the same key; undefined if that one changed since, and all is undone. */
function replace(
  chains: Chains,
  place: Found,
  key: Uint8Array,
  value: Uint8Array,
  flags: bigint,
  steps: Steps,
): number | undefined {
  if (flags === BigInt(UpdateFlag.NOEXIST)) return -Errno.EEXIST;
  const element = chains.take(Header.spare);
  if (element === undefined) return -Errno.ENOMEM;
  chains.fill(element, key, value, offsetOf(place.next), Use.LOOKED_AT);
  const replaced = link(place.next, element | State.REPLACED);
  if (chains.exchange(place.element, place.next, replaced)) {
    chains.finish(place, replaced, steps);
    return 0;
  }
  chains.give(Header.spare, element);
  return undefined;
}

/** A live element, the word that led to it and where that word lies, its own link word. Offsets are bytes. */
interface Found {
  readonly bucket: number;
  readonly from: number;
  readonly word: bigint;
  readonly element: number;
  readonly next: bigint;
}

/** The bucket that would hold the key, and its word before the chain was walked. */
interface Absent {
  readonly bucket: number;
  readonly head: bigint;
  readonly element?: undefined;
}

/** What is left of an operation's patience: steps from element to element, and walks begun. */
interface Steps {
  left: number;
}

/** The lists of one map, each step as a thread of the target does it. */
class Chains {
  readonly layout: HashLayout;
  readonly #memory: MapMemory;
  readonly #spec: MapSpec;
  readonly #seed: bigint;
  readonly #elementCount: number;

  constructor(memory: MapMemory, spec: MapSpec) {
    this.layout = hashLayout(spec);
    this.#memory = memory;
    this.#spec = spec;
    this.#seed = BigInt.asUintN(64, memory.words[Header.seed / 8]!);
    this.#elementCount = (this.layout.end - this.layout.firstElement) / this.layout.elementSize;
  }

  load(offset: number): bigint {
    return Atomics.load(this.#memory.words, offset / 8);
  }

  /** Writes `word` at `offset` if it still holds `expected`. */
  exchange(offset: number, expected: bigint, word: bigint): boolean {
    return Atomics.compareExchange(this.#memory.words, offset / 8, expected, word) === expected;
  }

  /** As many steps as one operation may take. */
  steps(): Steps {
    return { left: 2 * this.#elementCount + PATIENCE };
  }

  /** Looks for a key until `attempt` can do its work on what was found; undefined if the chain never holds still. */
  operate<T>(key: Uint8Array, attempt: (place: Found | Absent, steps: Steps) => T | undefined): T | undefined {
    const words = wordsOf(key);
    const bucket = Header.size + 8 * bucketOf(this.layout, this.#seed, words);
    const steps = this.steps();
    while (steps.left > 0) {
      const place = this.#walk(bucket, steps, ({ element }) => this.#hasKey(element, words));
      const result = place && attempt(place, steps);
      if (result !== undefined) return result;
    }
    return undefined;
  }

  /** The entries of one bucket. */
  snapshot(bucket: number, steps: Steps): (readonly [key: Uint8Array, value: Uint8Array])[] {
    const { keySize, valueSize } = this.#spec;
    let entries: (readonly [Uint8Array, Uint8Array])[] = [];
    while (steps.left > 0) {
      entries = [];
      const end = this.#walk(bucket, steps, ({ element }) => {
        const key = loadBytes(this.#memory, element + this.layout.key, keySize);
        entries.push([key, loadBytes(this.#memory, element + Element.value, valueSize)]);
        return false;
      });
      if (end !== undefined) break;
    }
    return entries;
  }

  /** Takes an element off the free or spare list. */
  take(list: number): number | undefined {
    return takeFrom(this.#memory, list, this.layout.elementSize, (offset) => isElement(this.layout, offset));
  }

  /** Puts an element nobody else can reach on the free or spare list. */
  give(list: number, element: number): void {
    giveTo(this.#memory, list, element);
  }

  /** Takes an element out that was not looked at for long; false if there is none. */
  evict(steps: Steps): boolean {
    const { firstElement, elementSize, key: keyOffset, use } = this.layout;
    for (let left = 3 * this.#elementCount; left > 0 && steps.left > 0; left--) {
      const turn = BigInt.asUintN(64, Atomics.add(this.#memory.words, Header.hand / 8, 1n));
      const element = firstElement + Number(turn % BigInt(this.#elementCount)) * elementSize;
      const state = Atomics.load(this.#memory.halves, (element + use!) / 4);
      if (state === Use.FREE) continue;
      if (state === Use.LOOKED_AT) {
        this.#use(element, Use.LINKED);
        continue;
      }
      const words = wordsOf(loadBytes(this.#memory, element + keyOffset, this.#spec.keySize));
      if (this.#removeElement(element, Header.size + 8 * bucketOf(this.layout, this.#seed, words), steps)) return true;
    }
    return false;
  }

  /** Takes an element out of a bucket's chain, if it is there. */
  #removeElement(element: number, bucket: number, steps: Steps): boolean {
    while (steps.left > 0) {
      const place = this.#walk(bucket, steps, (one) => one.element === element);
      if (place === undefined) continue;
      if (place.element === undefined) return false;
      const dead = link(place.next, offsetOf(place.next) | State.DELETED);
      if (!this.exchange(place.element, place.next, dead)) continue;
      this.finish(place, dead, steps);
      return true;
    }
    return false;
  }

  #use(element: number, state: number): void {
    const { use } = this.layout;
    if (use !== undefined) Atomics.store(this.#memory.halves, (element + use) / 4, state);
  }

  /** Writes an element nobody else can reach, live and followed by `following`. */
  fill(element: number, key: Uint8Array, value: Uint8Array, following: number, state: number): void {
    storeBytes(this.#memory, element + this.layout.key, key);
    storeBytes(this.#memory, element + Element.value, value);
    this.#use(element, state);
    Atomics.store(this.#memory.words, element / 8, link(this.load(element), following));
  }

  /** Takes an element whose state is now `dead` out of its chain, or sees to it that it is out. */
  finish({ bucket, from, word }: Found, dead: bigint, steps: Steps): void {
    let out = this.#unlink(from, word, dead);
    while (!out && steps.left > 0) out = this.#walk(bucket, steps, () => false) !== undefined;
  }

  /**
   * Walks a chain once, until `stop` says so. undefined if somebody else changed it, or a dead element had to be taken
   * out: then the walk has to begin anew, and what `stop` saw of the last element may be of another key.
   */
  #walk(bucket: number, steps: Steps, stop: (place: Found) => boolean): Found | Absent | undefined {
    const head = this.load(bucket);
    let from = bucket;
    let word = head;
    while (--steps.left > 0) {
      const element = offsetOf(word);
      if (!isElement(this.layout, element)) return { bucket, head };
      const next = this.load(element);
      if ((next & BigInt(State.mask)) !== 0n) {
        this.#unlink(from, word, next);
        return undefined;
      }
      const place = { bucket, from, word, element, next };
      const stopped = stop(place);
      if (this.load(from) !== word) return undefined;
      if (stopped) return place;
      from = element;
      word = next;
    }
    return undefined;
  }

  /** Takes a dead element, whose link word is `dead`, out of the chain; it goes back to where it came from. */
  #unlink(from: number, word: bigint, dead: bigint): boolean {
    if (!this.exchange(from, word, link(word, offsetOf(dead)))) return false;
    const replaced = (dead & BigInt(State.REPLACED)) !== 0n;
    this.#use(offsetOf(word), Use.FREE);
    this.give(replaced ? Header.spare : Header.free, offsetOf(word));
    return true;
  }

  #hasKey(element: number, key: BigInt64Array): boolean {
    const at = element + this.layout.key;
    return key.every((word, index) => this.load(at + 8 * index) === word);
  }
}
