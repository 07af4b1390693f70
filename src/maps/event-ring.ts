/** How the host reads what programs send: the records of a ring buffer or a perf event array, in the order they were begun. */

/**
 * Gets one record where it lies in shared memory: `size` bytes of `bytes` from `at` on. They are the next producer's when it
 * returns, and the target may change them meanwhile.
 */
export type RecordVisitor = (bytes: Uint8Array, at: number, size: number) => void;

/** A ring of records. All that the target may write there is bounded before it is used. */
export interface EventRing {
  /**
   * Takes finished records out, as many as there are but at most one lap of the ring.
   *
   * @param limit how many at most; all if not given
   * @returns how many were visited
   */
  consume(visit: RecordVisitor, limit?: number): number;
  /** Whether a finished record waits. */
  readonly hasRecord: boolean;
  /** Records there was no room for, and those that were begun and never finished. */
  readonly lost: bigint;
  /** The thread whose unfinished record holds up those behind it, 0 if it is not known; undefined if there is none. */
  readonly heldUpBy: number | undefined;
  /** Passes over the unfinished record. Only if nobody will finish it: it counts as lost. @returns false if there is none */
  abandon(): boolean;
  /** Not 0 while the consumer sleeps: whoever finishes a record then wakes it. */
  readonly waitingWord: Int32Array;
  /** The other side, for who is alone with the ring. */
  readonly producer: RingProducer;
}

/** What may be asked of bpf_ringbuf_query. */
export type RingFact = 'available' | 'size' | 'consumer' | 'producer';

/** Writes records as programs do, but not beside others. Places are offsets in the map's memory. */
export interface RingProducer {
  /** @returns where the record's bytes go, undefined if there is no room: that is counted */
  reserve(size: number, tag: bigint): number | undefined;
  finish(record: number, how: 'submit' | 'discard'): void;
  query(fact: RingFact): bigint;
}
