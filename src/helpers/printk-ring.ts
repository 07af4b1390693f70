/**
 * The ring that bpf_trace_printk and bpf_trace_vprintk write and the host drains: fixed slots in shared memory, any number of producers, one
 * consumer, no lock.
 *
 *     0     | reserved: positions handed out to producers | pad to 64 |
 *     64    | consumed | lost: records there was no room for | pad to 128 |
 *     128   | slot 0 | slot 1 | ... SLOTS of them
 *
 * Position p belongs to slot p % SLOTS in its lap p / SLOTS. A slot's state says which lap it is in: 2 * lap while free or
 * being written, 2 * lap + 1 once published; so zeroed memory is an empty ring. A producer killed while it writes leaves
 * its slot unpublished: the consumer waits a while, then passes over it. Should that producer only have been stopped, its
 * late publishing fails; at worst the text of one later record in the same slot is garbled.
 */
import { struct } from '../bytes/struct.ts';
import type { MapMemory } from '../maps/map-type.ts';
import { MAX_ARGUMENTS } from './text-arguments.ts';

/** Byte offsets in the header. */
export const RingHeader = { reserved: 0, consumed: 64, lost: 72, size: 128 } as const;

/** One record. Behind it follow room for MAX_ARGUMENTS words, `count` of them used, and `length` bytes of format, without a NUL. */
export const RingSlot = struct('printk_record', 16, { state: 'u64', pid: 'u32', length: 'u16', count: 'u16' });

/** Where the format begins in a slot. */
export const FORMAT_OFFSET = RingSlot.size + 8 * MAX_ARGUMENTS;

/** Bytes of one slot, a power of two, and how many of them there are, a power of two. */
export const SLOT_SIZE = 512;
export const SLOTS = 256;
/** The longest format a slot holds. */
export const FORMAT_SIZE = SLOT_SIZE - FORMAT_OFFSET;

/** Bytes of the ring, to be given zeroed. */
export const PRINTK_RING_SIZE = RingHeader.size + SLOTS * SLOT_SIZE;

/** How long the consumer waits for a record that was begun, in milliseconds. */
const PATIENCE_MS = 100;

/** What a program gave to bpf_trace_printk or bpf_trace_vprintk. */
export interface PrintkRecord {
  /** The process, 0 where it was not known. */
  readonly pid: number;
  readonly format: string;
  readonly args: readonly bigint[];
}

/** The consumer. The target may write anything into the ring: then records are lost or wrong, and nothing worse. */
export class PrintkReader {
  readonly #memory: MapMemory;
  #consumed: bigint;
  /** Since when the record at `#consumed` is awaited. */
  #waitingSince: number | undefined;
  #passedOver = 0n;

  /** @param memory the ring's PRINTK_RING_SIZE bytes */
  constructor(memory: MapMemory) {
    this.#memory = memory;
    this.#consumed = this.#load(RingHeader.consumed);
  }

  /** Records that were printed and will never be seen: no room, or never finished. */
  get lost(): bigint {
    return this.#load(RingHeader.lost) + this.#passedOver;
  }

  /** Takes the records that are there, in order; at most one lap. `now` is a clock in milliseconds. */
  drain(now: number): PrintkRecord[] {
    const records: PrintkRecord[] = [];
    for (let count = 0; count < SLOTS && this.#consumed !== this.#load(RingHeader.reserved); count++) {
      const free = 2n * (this.#consumed / BigInt(SLOTS));
      const slot = RingHeader.size + Number(this.#consumed % BigInt(SLOTS)) * SLOT_SIZE;
      const state = this.#load(slot);
      if (state === free) {
        this.#waitingSince ??= now;
        if (now - this.#waitingSince < PATIENCE_MS) break;
      }
      const record = state === free + 1n ? this.#read(slot) : undefined;
      if (!this.#release(slot, state, free + 2n)) break;
      if (record === undefined) this.#passedOver++;
      else records.push(record);
      this.#waitingSince = undefined;
      this.#consumed = BigInt.asUintN(64, this.#consumed + 1n);
    }
    Atomics.store(this.#memory.words, RingHeader.consumed / 8, BigInt.asIntN(64, this.#consumed));
    return records;
  }

  #read(slot: number): PrintkRecord {
    const { pid, length, count } = RingSlot.read(this.#memory.bytes, slot);
    const start = slot + FORMAT_OFFSET;
    const format = this.#memory.bytes.slice(start, start + Math.min(length, FORMAT_SIZE));
    const first = (slot + RingSlot.size) / 8;
    const words = this.#memory.words.slice(first, first + Math.min(count, MAX_ARGUMENTS));
    const args = Array.from(words, (word) => BigInt.asUintN(64, word));
    return { pid, format: new TextDecoder('latin1').decode(format), args };
  }

  /** Gives a slot to the next lap; false if its state is no longer `state`. */
  #release(slot: number, state: bigint, next: bigint): boolean {
    const expected = BigInt.asIntN(64, state);
    return Atomics.compareExchange(this.#memory.words, slot / 8, expected, BigInt.asIntN(64, next)) === expected;
  }

  #load(offset: number): bigint {
    return BigInt.asUintN(64, Atomics.load(this.#memory.words, offset / 8));
  }
}
