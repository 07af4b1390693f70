/**
 * The host's side of a ring: the only consumer, and a producer for where nobody else is. The target may write anything
 * into the ring at any time. So the position is kept here, each head is read once, its length is checked before it is used, and one
 * call goes round once at most.
 */
import { viewOf } from '../bytes/struct.ts';
import type { EventRing, RecordVisitor, RingFact, RingProducer } from './event-ring.ts';
import type { MapMemory, MapSpec } from './map-type.ts';
import {
  BUSY,
  DISCARDED,
  LENGTH,
  longestRecord,
  RingHead,
  RingHeader,
  type RingLayout,
  recordAdvance,
  ringLayout,
  TAG_SIZE,
} from './ringbuf-layout.ts';

/** The consumer's position is told to producers after so many bytes: often enough for them, and cheap. */
const TELL_EVERY = 4096;
/** Positions beyond what a number holds exactly are not believed. */
const POSITION_BITS = 52;
const TWO_32 = 2 ** 32;

/** The consumer of one ring, from where the one before it stopped. */
export class RingConsumer implements EventRing {
  readonly #memory: MapMemory;
  readonly #layout: RingLayout;
  /** Where the next record begins. */
  #position: number;
  /** False once the target has written a head that cannot be. */
  #sound = true;

  constructor(memory: MapMemory, spec: MapSpec) {
    this.#memory = memory;
    this.#layout = ringLayout(spec);
    const told = BigInt.asUintN(POSITION_BITS, Atomics.load(memory.words, RingHeader.consumer / 8));
    this.#position = Number(told & ~7n);
  }

  consume(visit: RecordVisitor, limit = Number.POSITIVE_INFINITY): number {
    if (!this.#sound) return 0;
    const { bytes, halves } = this.#memory;
    const { size, data, heads } = this.#layout;
    const longest = longestRecord(size);
    const begin = this.#position;
    const end = begin + size;
    let position = begin;
    let told = begin;
    let count = 0;
    try {
      while (count < limit && position < end) {
        const offset = position & (size - 1);
        const head = (heads + (offset & ~15)) >> 2;
        if (Atomics.load(halves, head + 2) !== ((position + 1) | 0)) break;
        if (Atomics.load(halves, head + 3) !== ((position / TWO_32) | 0)) break;
        const word = Atomics.load(halves, head);
        if (word < 0) break;
        const length = word & LENGTH;
        if (length > longest) {
          this.#giveUp();
          break;
        }
        position += recordAdvance(length);
        if ((word & DISCARDED) === 0) {
          count++;
          visit(bytes, data + offset + TAG_SIZE, length);
        }
        if (position - told >= TELL_EVERY) {
          this.#tell(position);
          told = position;
        }
      }
    } finally {
      this.#position = position;
      if (position !== told) this.#tell(position);
    }
    return count;
  }

  get lost(): bigint {
    return BigInt.asUintN(64, Atomics.load(this.#memory.words, RingHeader.dropped / 8));
  }

  get hasRecord(): boolean {
    const head = this.#nextHead();
    return head !== undefined && Atomics.load(this.#memory.halves, head) >= 0;
  }

  get heldUpBy(): number | undefined {
    const head = this.#busyHead();
    return head === undefined ? undefined : Atomics.load(this.#memory.halves, head + RingHead.thread / 4) >>> 0;
  }

  abandon(): boolean {
    const head = this.#busyHead();
    if (head === undefined) return false;
    const length = Atomics.load(this.#memory.halves, head) & LENGTH;
    if (length > longestRecord(this.#layout.size)) {
      this.#giveUp();
      return true;
    }
    Atomics.add(this.#memory.words, RingHeader.dropped / 8, 1n);
    this.#position += recordAdvance(length);
    this.#tell(this.#position);
    return true;
  }

  get waitingWord(): Int32Array {
    return this.#memory.halves.subarray(RingHeader.waiting / 4, RingHeader.waiting / 4 + 1);
  }

  get producer(): RingProducer {
    return new LoneProducer(this.#memory, this.#layout);
  }

  /** Index of the next record's head in 32-bit words, if that was begun. */
  #nextHead(): number | undefined {
    const { halves } = this.#memory;
    const head = (this.#layout.heads + (this.#position & (this.#layout.size - 1) & ~15)) >> 2;
    const begun =
      this.#sound &&
      Atomics.load(halves, head + 2) === ((this.#position + 1) | 0) &&
      Atomics.load(halves, head + 3) === ((this.#position / TWO_32) | 0);
    return begun ? head : undefined;
  }

  #busyHead(): number | undefined {
    const head = this.#nextHead();
    return head !== undefined && Atomics.load(this.#memory.halves, head) < 0 ? head : undefined;
  }

  /** Nothing behind this place can be found. */
  #giveUp(): void {
    this.#sound = false;
    Atomics.add(this.#memory.words, RingHeader.dropped / 8, 1n);
  }

  /** Gives what was consumed to producers. */
  #tell(position: number): void {
    Atomics.store(this.#memory.words, RingHeader.consumer / 8, BigInt(position));
  }
}

class LoneProducer implements RingProducer {
  readonly #memory: MapMemory;
  readonly #layout: RingLayout;
  readonly #view: DataView;

  constructor(memory: MapMemory, layout: RingLayout) {
    this.#memory = memory;
    this.#layout = layout;
    this.#view = viewOf(memory.bytes);
  }

  reserve(length: number, tag: bigint): number | undefined {
    const { size, data, heads } = this.#layout;
    const position = this.#load(RingHeader.producer);
    const advance = recordAdvance(length);
    const used = position + BigInt(advance) - this.#load(RingHeader.consumer);
    if (length > longestRecord(size) || used > BigInt(size - 1)) {
      Atomics.add(this.#memory.words, RingHeader.dropped / 8, 1n);
      return undefined;
    }
    const offset = Number(position % BigInt(size));
    const head = heads + (offset & ~15);
    this.#view.setUint32(head + RingHead.length, length + BUSY, true);
    this.#view.setUint32(head + RingHead.thread, 0, true);
    this.#view.setBigUint64(head + RingHead.position, position + 1n, true);
    this.#view.setBigUint64(data + offset, tag, true);
    this.#view.setBigUint64(RingHeader.producer, position + BigInt(advance), true);
    return data + offset + TAG_SIZE;
  }

  finish(record: number, how: 'submit' | 'discard'): void {
    const { data, heads } = this.#layout;
    const head = heads + ((record - TAG_SIZE - data) & ~15);
    const length = this.#view.getUint32(head, true) & LENGTH;
    this.#view.setUint32(head, how === 'submit' ? length : length + DISCARDED, true);
  }

  query(fact: RingFact): bigint {
    const [producer, consumer] = [this.#load(RingHeader.producer), this.#load(RingHeader.consumer)];
    return { available: producer - consumer, size: BigInt(this.#layout.size), consumer, producer }[fact];
  }

  #load(offset: number): bigint {
    return BigInt.asUintN(64, Atomics.load(this.#memory.words, offset / 8));
  }
}
