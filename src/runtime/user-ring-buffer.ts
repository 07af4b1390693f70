/** What users hold to send samples to programs: those come to whoever drains the map, in the order in which they were begun. */
import type { BegunSample, UserRingProducer } from '../maps/user-ring.ts';
import type { RingHome } from './event-source.ts';
import { sleepOn, sleepShortly } from './waiting.ts';

/** How long to wait for room. */
export interface UserRingOptions {
  /** Gives up when it aborts. */
  readonly signal?: AbortSignal | undefined;
}

/** The producer of a user ring buffer, as libbpf's user_ring_buffer. */
export class UserRingBuffer {
  readonly #name: string;
  #producer: UserRingProducer;
  /** Undefined until there is a target. */
  #home: RingHome | undefined;

  /** @internal */
  constructor(name: string, producer: UserRingProducer) {
    this.#name = name;
    this.#producer = producer;
  }

  /** Goes on with another ring that holds what this one held. @internal */
  moveTo(producer: UserRingProducer, home: RingHome): void {
    this.#producer = producer;
    this.#home = home;
  }

  /**
   * Begins a sample of `size` bytes: programs see neither it nor those begun after it before it is submitted or discarded.
   *
   * @returns undefined if there is no room now
   * @throws RangeError if there never will be
   */
  reserve(size: number): UserSample | undefined {
    const { longest } = this.#producer;
    if (!Number.isInteger(size) || size < 0 || size > longest) {
      throw new RangeError(`cannot reserve ${size} bytes of map ${this.#name}: a sample of it has 0 to ${longest}`);
    }
    const begun = this.#producer.reserve(size);
    return begun && new UserSample(size, (bytes) => this.#finish(begun, bytes));
  }

  /**
   * The same, as soon as programs have made room.
   *
   * @returns undefined if the signal aborted, or no program is left that would
   * @throws RangeError if there never will be room
   */
  async reserveBlocking(size: number, { signal }: UserRingOptions = {}): Promise<UserSample | undefined> {
    while (!signal?.aborted) {
      const sample = this.reserve(size);
      if (sample !== undefined || this.#home?.isOver()) return sample;
      await this.#waitForRoom(size, signal);
    }
    return undefined;
  }

  /** Sends a whole sample. @returns false if there is no room now. @throws RangeError if there never will be */
  send(bytes: Uint8Array): boolean {
    const sample = this.reserve(bytes.length);
    sample?.bytes.set(bytes);
    sample?.submit();
    return sample !== undefined;
  }

  #finish(begun: BegunSample, bytes: Uint8Array | undefined): void {
    this.#producer.finish(begun, bytes);
  }

  async #waitForRoom(size: number, signal: AbortSignal | undefined): Promise<void> {
    const producer = this.#producer;
    // Nobody wakes us before there is a target.
    if (this.#home === undefined) return sleepShortly(signal);
    const isThere = (): boolean => producer === this.#producer;
    await sleepOn({ word: producer.waitingWord, isWorthIt: () => !producer.hasRoom(size), isThere }, signal);
  }
}

/** A sample that was begun: to be filled, and submitted or discarded once. Disposing of one that was not discards it. */
export class UserSample implements Disposable {
  /** All zeros at first. They are ours: programs see what is in them when they are submitted. */
  readonly bytes: Uint8Array;
  #finish: ((bytes: Uint8Array | undefined) => void) | undefined;

  /** @internal */
  constructor(size: number, finish: (bytes: Uint8Array | undefined) => void) {
    this.bytes = new Uint8Array(size);
    this.#finish = finish;
  }

  /** Gives it to programs. */
  submit(): void {
    this.#end(this.bytes);
  }

  /** Has programs pass over it. */
  discard(): void {
    this.#end(undefined);
  }

  [Symbol.dispose](): void {
    this.discard();
  }

  #end(bytes: Uint8Array | undefined): void {
    const finish = this.#finish;
    this.#finish = undefined;
    finish?.(bytes);
  }
}
