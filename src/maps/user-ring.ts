/** How the host sends samples to programs: the producer of a user ring buffer, as libbpf's user_ring_buffer. */

/** A sample that was begun. */
export interface BegunSample {
  /** Where it lies: bytes from the beginning of time. */
  readonly position: number;
  readonly size: number;
}

/** The only producer of a ring that programs drain. All that the target may write there is bounded before it is used. */
export interface UserRingProducer {
  /** The longest sample there may be, in bytes. */
  readonly longest: number;
  /** Begins a sample behind all others: programs see none of those before it is finished. undefined if there is no room. */
  reserve(size: number): BegunSample | undefined;
  /** Finishes it, with these bytes, `size` at most; programs pass over it if there are none. */
  finish(sample: BegunSample, bytes: Uint8Array | undefined): void;
  /** Whether there would be room now. */
  hasRoom(size: number): boolean;
  /** Not 0 while the host waits for room: whoever makes some wakes it. */
  readonly waitingWord: Int32Array;
  /**
   * The other side, for who is alone with the ring: bpf_user_ringbuf_drain. `visit` gets where in the map's memory a sample's bytes
   * lie and how many there are, and stops it by a number other than 0.
   *
   * @returns how many there were, or a negative errno
   */
  drain(visit: (at: number, size: number) => bigint): number;
}
