/**
 * The host's side of a ring that programs drain: its only producer, and a drainer for where no program runs. The target may write
 * anything into the ring at any time. So the producer's position is kept here, and a sample's header is written and never believed.
 */
import { Errno, type MapMemory, type MapSpec } from './map-type.ts';
import { BUSY, DISCARDED, LENGTH } from './ringbuf-layout.ts';
import type { BegunSample, UserRingProducer } from './user-ring.ts';
import {
  MAX_SAMPLE,
  MOST_SAMPLES,
  SAMPLE_HEADER,
  sampleAdvance,
  UserRing,
  userRingSize,
} from './user-ringbuf-layout.ts';

/** Positions beyond what a number holds exactly are not believed. */
const POSITION_BITS = 52;

/** The producer of one ring, from where the one before it stopped. */
export class UserRingHost implements UserRingProducer {
  readonly #memory: MapMemory;
  readonly #size: number;
  /** Where the next sample begins. */
  #producer: number;

  constructor(memory: MapMemory, spec: MapSpec) {
    this.#memory = memory;
    this.#size = userRingSize(spec);
    this.#producer = this.#load(UserRing.producer);
  }

  get longest(): number {
    return Math.min(this.#size - SAMPLE_HEADER, MAX_SAMPLE);
  }

  hasRoom(size: number): boolean {
    const used = this.#producer - this.#load(UserRing.consumer);
    return used >= 0 && used + sampleAdvance(size) <= this.#size;
  }

  reserve(size: number): BegunSample | undefined {
    if (size > this.longest || !this.hasRoom(size)) return undefined;
    const position = this.#producer;
    this.#writeHeader(position, size | BUSY);
    this.#producer += sampleAdvance(size);
    Atomics.store(this.#memory.words, UserRing.producer / 8, BigInt(this.#producer));
    return { position, size };
  }

  finish({ position, size }: BegunSample, bytes: Uint8Array | undefined): void {
    if (bytes === undefined) {
      this.#writeHeader(position, size | DISCARDED);
      return;
    }
    this.#memory.bytes.set(bytes.subarray(0, size), this.#at(position) + SAMPLE_HEADER);
    this.#writeHeader(position, size);
  }

  get waitingWord(): Int32Array {
    return this.#memory.halves.subarray(UserRing.waiting / 4, UserRing.waiting / 4 + 1);
  }

  drain(visit: (at: number, size: number) => bigint): number {
    let count = 0;
    for (let sample = 0, stop = 0n; sample < MOST_SAMPLES && stop === 0n; sample++) {
      const producer = this.#number(UserRing.producer);
      const consumer = this.#load(UserRing.consumer);
      if (producer % 8 !== 0) return -Errno.EINVAL;
      if (producer <= consumer) break;
      const header = Atomics.load(this.#memory.halves, this.#at(consumer) / 4) >>> 0;
      const size = header & LENGTH;
      const end = consumer + sampleAdvance(size);
      if (end > producer) return -Errno.EINVAL;
      if (end - consumer > this.#size || size > MAX_SAMPLE) return -Errno.E2BIG;
      if ((header & DISCARDED) === 0) {
        if ((header & BUSY) !== 0) break;
        stop = visit(this.#at(consumer) + SAMPLE_HEADER, size);
        count++;
      }
      Atomics.store(this.#memory.words, UserRing.consumer / 8, BigInt(end));
    }
    return count;
  }

  #writeHeader(position: number, word: number): void {
    const at = this.#at(position) / 4;
    Atomics.store(this.#memory.halves, at + 1, 0);
    Atomics.store(this.#memory.halves, at, word);
  }

  /** Where in the map's memory a position is. */
  #at(position: number): number {
    return UserRing.data + (position % this.#size);
  }

  /** A position that the target may have written. */
  #load(offset: number): number {
    const number = this.#number(offset);
    return number - (number % 8);
  }

  #number(offset: number): number {
    return Number(BigInt.asUintN(POSITION_BITS, Atomics.load(this.#memory.words, offset / 8)));
  }
}
