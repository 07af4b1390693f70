/**
 * Where threads of the target and this process wait for each other: two words of the shared memory. A thread counts the first up
 * and waits for the second to get there. Both are the target's to write: nothing is believed of them but that somebody asks.
 */
import { wakeWord } from '../sys/futex.ts';
import { waitOnWord } from '../sys/libc.ts';
import type { SharedMapping } from '../sys/shared-mapping.ts';
import type { Region } from './regions.ts';

/** How far in front of the end of the shared memory they lie: behind the lease word. */
const REQUESTS_FROM_END = 12;
const ANSWERS_FROM_END = 8;

export class Meeting {
  /** Addresses in the target, each of a u32. */
  readonly requestsCell: bigint;
  readonly answersCell: bigint;
  /** The two words, and where the second lies in this process. */
  readonly #requests: Int32Array;
  readonly #answers: Int32Array;
  readonly #answersHere: number;

  /** @param region where the memory lies in the target */
  constructor({ buffer, end }: SharedMapping, { address, size }: Region) {
    this.requestsCell = address + BigInt(size - REQUESTS_FROM_END);
    this.answersCell = address + BigInt(size - ANSWERS_FROM_END);
    this.#requests = new Int32Array(buffer, buffer.byteLength - REQUESTS_FROM_END, 1);
    this.#answers = new Int32Array(buffer, buffer.byteLength - ANSWERS_FROM_END, 1);
    this.#answersHere = end - ANSWERS_FROM_END;
  }

  /** How many threads have asked so far; it wraps around. */
  get requests(): number {
    return Atomics.load(this.#requests, 0);
  }

  /** Lets the threads go that asked when there were `requests` of them. */
  answer(requests: number): void {
    Atomics.store(this.#answers, 0, requests);
    wakeWord(this.#answersHere);
  }

  /** Resolves once there are more than `requests`, or after a while. The event loop goes on meanwhile. */
  async next(requests: number, milliseconds: number): Promise<void> {
    await waitOnWord(this.#requests, requests, milliseconds);
  }
}
