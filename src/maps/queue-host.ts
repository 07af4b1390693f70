/**
 * The host's side of queues and stacks: the same steps as the emitted code (see queue.ts), by Atomics. The target may write
 * anything anywhere meanwhile, so every try is counted, and numbers that name nothing end an operation.
 */
import { giveTo, takeFrom } from './free-list.ts';
import { END, isElement, link, offsetOf } from './hash-layout.ts';
import { Errno, type HostMap, type MapMemory, type MapSpec, UpdateFlag } from './map-type.ts';
import { loadBytes, requireKey, requireValue, storeBytes } from './memory.ts';
import type { Order } from './queue-code.ts';
import { cellOffset, Header, NEVER, type QueueLayout, queueLayout, State, VALUE } from './queue-layout.ts';

/** Tries of one operation before it gives up; more than honest threads cause. */
const PATIENCE = 100_000;

/** The queue or stack in `memory`, for the host: lookup shows the next value, update adds one, pop takes one. */
export function queueHost(memory: MapMemory, spec: MapSpec, order: Order): HostMap {
  const ring = new Ring(memory, spec);
  const nextOut = ({ first, count }: Seen) => (order === 'first in, first out' ? first : first + count - 1);
  return {
    lookup(key) {
      requireKey(spec, key);
      return ring.attempt((seen) => {
        if (seen.count === 0) return { value: undefined };
        const value = ring.valueAt(nextOut(seen));
        return ring.stillHolds(seen) ? { value } : undefined;
      })?.value;
    },

    update(key, value, flags) {
      requireKey(spec, key);
      requireValue(spec, value);
      if (flags !== 0n && flags !== BigInt(UpdateFlag.EXIST)) return -Errno.EINVAL;
      return ring.push(value, flags !== 0n);
    },

    delete(key) {
      requireKey(spec, key);
      return -Errno.EINVAL;
    },

    pop: () => ring.pop(nextOut, order),

    *entries() {
      const values = ring.attempt((seen) => {
        const copies = Array.from({ length: seen.count }, (_, index) => ring.valueAt(seen.first + index));
        return ring.stillHolds(seen) ? copies : undefined;
      });
      for (const value of (order === 'first in, first out' ? values : values?.reverse()) ?? []) {
        yield [new Uint8Array(0), value ?? new Uint8Array(spec.valueSize)];
      }
    },
  };
}

/** Restores the full capacity while nobody works on the map; its values stay. Trusts nothing it reads. */
export function recoverQueue(memory: MapMemory, spec: MapSpec): void {
  const { words } = memory;
  const { firstState, lastState, firstElement, elementSize, end } = queueLayout(spec);
  const ring = new Ring(memory, spec);
  const kept = new Set<number>();
  ring.attempt(({ first, count }) => {
    for (let index = 0; index < count; index++) {
      const element = ring.elementAt(first + index);
      if (element !== undefined) kept.add(element);
    }
    return true;
  });

  const current = words[Header.current / 8]!;
  for (let index = 0; index < spec.maxEntries; index++) words[cellOffset(index) / 8] = 0n;
  [...kept].forEach((element, index) => {
    words[cellOffset(index) / 8] = link(current, element);
  });
  words.fill(0n, firstState / 8, firstElement / 8);
  memory.halves[(firstState + State.count) / 4] = kept.size;
  words[Header.current / 8] = link(current, firstState);
  words[Header.states / 8] = link(words[Header.states / 8]!, firstState + State.size);
  words[lastState / 8] = BigInt(END);

  let from: number = Header.elements;
  for (let element = firstElement; element < end; element += elementSize) {
    if (kept.has(element)) continue;
    words[from / 8] = link(words[from / 8]!, element);
    from = element;
  }
  words[from / 8] = link(words[from / 8]!, END);
}

/** What one validated look at the map saw. */
interface Seen {
  readonly current: bigint;
  readonly first: number;
  readonly count: number;
}

/** The ring of one map, each step as a thread of the target does it. */
class Ring {
  readonly #memory: MapMemory;
  readonly #spec: MapSpec;
  readonly #layout: QueueLayout;

  constructor(memory: MapMemory, spec: MapSpec) {
    this.#memory = memory;
    this.#spec = spec;
    this.#layout = queueLayout(spec);
  }

  /** Looks, and lets `step` do its work on what was seen, until it has; undefined if the map never holds still. */
  attempt<T>(step: (seen: Seen) => T | undefined): T | undefined {
    for (let attempt = 0; attempt < PATIENCE; attempt++) {
      const seen = this.#look();
      if (seen === 'damaged') return undefined;
      const result = seen && step(seen);
      if (result !== undefined) return result;
    }
    return undefined;
  }

  stillHolds({ current }: Seen): boolean {
    return this.#load(Header.current) === current;
  }

  /** The offset of the element in a cell; undefined if none is there. */
  elementAt(index: number): number | undefined {
    const element = offsetOf(this.#load(this.#cell(index)));
    return isElement(this.#layout, element) ? element : undefined;
  }

  valueAt(index: number): Uint8Array | undefined {
    const element = this.elementAt(index);
    return element === undefined ? undefined : loadBytes(this.#memory, element + VALUE, this.#spec.valueSize);
  }

  /** @returns 0 or a negative errno */
  push(value: Uint8Array, dropsOldest: boolean): number {
    const { maxEntries } = this.#spec;
    const element = this.#takeElement();
    if (element === undefined) return -Errno.E2BIG;
    storeBytes(this.#memory, element + VALUE, value);
    const fresh = this.#takeState();
    const result =
      fresh === undefined
        ? undefined
        : this.attempt((seen) => {
            const full = seen.count >= maxEntries;
            if (full && !dropsOldest) return -Errno.E2BIG;
            const cell = this.#cell(seen.first + seen.count);
            const before = this.#load(cell);
            const change = { cell, before, after: link(seen.current, element) };
            const next = full
              ? { first: seen.first + 1, count: seen.count }
              : { first: seen.first, count: seen.count + 1 };
            if (!this.#become(seen, fresh, next, change)) return undefined;
            if (full && isElement(this.#layout, offsetOf(before)))
              giveTo(this.#memory, Header.elements, offsetOf(before));
            return 0;
          });
    if (result === 0) return 0;
    if (fresh !== undefined) giveTo(this.#memory, Header.states, fresh);
    giveTo(this.#memory, Header.elements, element);
    return result ?? -Errno.EBUSY;
  }

  pop(nextOut: (seen: Seen) => number, order: Order): Uint8Array | undefined {
    const fresh = this.#takeState();
    if (fresh === undefined) return undefined;
    const shift = order === 'first in, first out' ? 1 : 0;
    const result = this.attempt((seen) => {
      if (seen.count === 0) return { empty: true };
      const element = this.elementAt(nextOut(seen));
      const next = { first: seen.first + shift, count: seen.count - 1 };
      return this.#become(seen, fresh, next, { cell: 0, before: NEVER, after: 0n }) ? { element } : undefined;
    });
    if (result === undefined || 'empty' in result) giveTo(this.#memory, Header.states, fresh);
    if (result === undefined || !('element' in result) || result.element === undefined) return undefined;
    const value = loadBytes(this.#memory, result.element + VALUE, this.#spec.valueSize);
    giveTo(this.#memory, Header.elements, result.element);
    return value;
  }

  /** What holds now, and whatever it left to be done is done; undefined if it changed meanwhile. */
  #look(): Seen | 'damaged' | undefined {
    const { maxEntries } = this.#spec;
    const current = this.#load(Header.current);
    const state = offsetOf(current);
    if (!this.#isState(state)) return 'damaged';
    const span = BigInt.asUintN(64, this.#load(state + State.first));
    const cell = Number(BigInt.asUintN(64, this.#load(state + State.cell)));
    const before = this.#load(state + State.before);
    const after = this.#load(state + State.after);
    const seen = { current, first: Number(span & 0xffff_ffffn), count: Number(span >> 32n) };
    if (!this.stillHolds(seen)) return undefined;
    if (seen.first >= maxEntries || seen.count > maxEntries) return 'damaged';
    const isCell = cell % 8 === 0 && cell >= cellOffset(0) && cell < cellOffset(maxEntries);
    if (isCell) Atomics.compareExchange(this.#memory.words, cell / 8, before, after);
    return seen;
  }

  #become(
    { current }: Seen,
    fresh: number,
    { first, count }: { readonly first: number; readonly count: number },
    { cell, before, after }: { readonly cell: number; readonly before: bigint; readonly after: bigint },
  ): boolean {
    const { words } = this.#memory;
    const span = (BigInt(count) << 32n) | BigInt(first % this.#spec.maxEntries);
    Atomics.store(words, (fresh + State.first) / 8, span);
    Atomics.store(words, (fresh + State.cell) / 8, BigInt(cell));
    Atomics.store(words, (fresh + State.before) / 8, before);
    Atomics.store(words, (fresh + State.after) / 8, after);
    if (Atomics.compareExchange(words, Header.current / 8, current, link(current, fresh)) !== current) return false;
    giveTo(this.#memory, Header.states, offsetOf(current));
    return true;
  }

  #takeElement(): number | undefined {
    const { elementSize } = this.#layout;
    return takeFrom(this.#memory, Header.elements, elementSize, (offset) => isElement(this.#layout, offset));
  }

  #takeState(): number | undefined {
    return takeFrom(this.#memory, Header.states, State.size, (offset) => this.#isState(offset));
  }

  #isState(offset: number): boolean {
    const { firstState, lastState } = this.#layout;
    return offset >= firstState && offset <= lastState && (offset - firstState) % State.size === 0;
  }

  /** The byte offset of a cell, given a number below twice maxEntries. */
  #cell(index: number): number {
    return cellOffset(index % this.#spec.maxEntries);
  }

  #load(offset: number): bigint {
    return Atomics.load(this.#memory.words, offset / 8);
  }
}
