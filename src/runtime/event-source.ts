/**
 * What programs send through one map, as it comes: each record is taken out of the ring once, by whoever asks first. A record
 * that a thread began and did not live to finish is passed over, and counts as lost.
 */
import { setImmediate as turn } from 'node:timers/promises';
import type { Btf } from '../btf/btf.ts';
import { decodeValue, type JsonValue } from '../btf/decode-value.ts';
import type { EventRing, RecordVisitor } from '../maps/event-ring.ts';
import type { MapSpec } from '../maps/map-type.ts';
import { recordTypes } from './record-types.ts';
import { sleepOn, sleepShortly } from './waiting.ts';

/** Where a ring lives: with a target, or, once that was left, as a copy that nobody adds to. */
export interface RingHome {
  /** True once nobody will add a record any more. */
  isOver(): boolean;
  hasEnded(thread: number): boolean;
}

/** Taken out of the ring at once for whoever reads one by one. */
const BATCH = 256;
/** Before it sleeps a reader looks again so many times, with other work in between. */
const TURNS = 16;
/** How long a record may be unfinished before somebody asks for its thread. */
const PATIENCE = 50;

export class EventSource {
  readonly #btf: Btf | undefined;
  readonly #typeOf: (size: number) => number;
  #ring: EventRing;
  /** Undefined until there is a target. */
  #home: RingHome | undefined;
  /** Taken out, and not yet given to a reader. */
  #taken: Uint8Array[] = [];
  /** Since when a record holds up the others. */
  #heldUpSince: number | undefined;

  constructor(spec: MapSpec, btf: Btf | undefined, ring: EventRing) {
    this.#btf = btf;
    this.#typeOf = recordTypes(btf, spec);
    this.#ring = ring;
  }

  /** Goes on with another ring that holds what this one held. */
  moveTo(ring: EventRing, home: RingHome): void {
    this.#ring = ring;
    this.#home = home;
  }

  /** Records that nobody will see: there was no room, or they were never finished. */
  get lost(): bigint {
    return this.#ring.lost;
  }

  /** Shows finished records where they lie, in order, and takes them out. @returns how many there were */
  consume(visit: RecordVisitor, limit = Number.POSITIVE_INFINITY): number {
    const taken = this.#taken.splice(0, limit);
    for (const record of taken) visit(record, 0, record.length);
    const count = taken.length + this.#ring.consume(visit, limit - taken.length);
    if (count === 0) this.#passOver();
    else this.#heldUpSince = undefined;
    return count;
  }

  /** The same, typed. */
  each(visit: (event: JsonValue) => void, limit?: number): number {
    return this.consume((bytes, at, size) => visit(this.#decode(bytes.slice(at, at + size))), limit);
  }

  /** Gives up a record that is begun and not finished; false if there is none. Only when nobody adds to it any more. */
  passOver(): boolean {
    return this.#ring.abandon();
  }

  /** Events until there can be no more, or `signal` aborts. What is not asked for stays in the ring. */
  async *read(signal: AbortSignal | undefined): AsyncGenerator<JsonValue, void, undefined> {
    for (let idle = 0; !signal?.aborted; ) {
      const record = this.#next();
      if (record !== undefined) {
        idle = 0;
        yield this.#decode(record);
      } else {
        if (this.#home?.isOver() && !this.#ring.hasRecord && this.#ring.heldUpBy === undefined) return;
        await (idle++ < TURNS ? turn() : this.#sleep(signal));
      }
    }
  }

  #next(): Uint8Array | undefined {
    if (this.#taken.length === 0) {
      const taken: Uint8Array[] = [];
      this.consume((bytes, at, size) => taken.push(bytes.slice(at, at + size)), BATCH);
      this.#taken = taken;
    }
    return this.#taken.shift();
  }

  #decode(record: Uint8Array): JsonValue {
    return decodeValue(this.#btf, this.#typeOf(record.length), record);
  }

  /** Passes over the record that holds up the others, if its thread is gone. */
  #passOver(): void {
    const thread = this.#ring.heldUpBy;
    if (thread === undefined || this.#home === undefined) {
      this.#heldUpSince = undefined;
      return;
    }
    this.#heldUpSince ??= performance.now();
    if (this.#home.isOver()) this.#ring.abandon();
    else if (performance.now() - this.#heldUpSince > PATIENCE) {
      this.#heldUpSince = undefined;
      if (this.#home.hasEnded(thread)) this.#ring.abandon();
    }
  }

  /** Until a record may have come. */
  async #sleep(signal: AbortSignal | undefined): Promise<void> {
    const ring = this.#ring;
    if (this.#home === undefined || ring.heldUpBy !== undefined) return sleepShortly(signal);
    // Memory that was left may be gone.
    const isThere = (): boolean => ring === this.#ring;
    await sleepOn({ word: ring.waitingWord, isWorthIt: () => !ring.hasRecord, isThere }, signal);
  }
}
