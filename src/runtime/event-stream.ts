/** What users hold to read the events of one map: one by one as they come, or many at once where they lie. */
import type { JsonValue } from '../btf/decode-value.ts';
import type { RecordVisitor } from '../maps/event-ring.ts';
import type { EventSource } from './event-source.ts';

/** How long to read. */
export interface EventStreamOptions {
  /** Ends the iteration when it aborts. What was not read stays in the ring. */
  readonly signal?: AbortSignal | undefined;
}

/**
 * The events of a map. Iterating waits for what comes, without keeping other work from being done, until the signal aborts, the
 * target has ended or the object was disposed of and nothing is left. Events are taken out as they are asked for: a reader that
 * is slow makes the ring full, and what finds no room is counted as lost.
 */
export class EventStream implements AsyncIterable<JsonValue> {
  readonly #source: EventSource;
  readonly #signal: AbortSignal | undefined;

  /** @internal */
  constructor(source: EventSource, signal: AbortSignal | undefined) {
    this.#source = source;
    this.#signal = signal;
  }

  /** Events that will never be seen, so far: they found no room, or the thread that began them ended. */
  get lost(): bigint {
    return this.#source.lost;
  }

  /**
   * Shows what is there, in order and without copying: `visit` gets the shared memory itself, and where in it a record lies. The
   * fastest way to read; it does not wait.
   *
   * @returns how many records there were: as many as there are, `limit`, or one lap of the ring
   */
  consume(visit: RecordVisitor, limit?: number): number {
    return this.#source.consume(visit, limit);
  }

  /** The same, typed. */
  each(visit: (event: JsonValue) => void, limit?: number): number {
    return this.#source.each(visit, limit);
  }

  /** Passes over a record that was begun and not finished, so that those behind it can be read. For when all is detached. */
  passOver(): boolean {
    return this.#source.passOver();
  }

  [Symbol.asyncIterator](): AsyncGenerator<JsonValue, void, undefined> {
    return this.#source.read(this.#signal);
  }
}
