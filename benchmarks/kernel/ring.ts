/** Reads a ring buffer of the kernel in place, as libbpf does. Source: Linux kernel/bpf/ringbuf.c; libbpf src/ringbuf.c. */
import { libc, viewOfMemory } from '../../src/sys/libc.ts';

const PAGE = 4096;
const PROT_READ = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;

/** Of a record's header. */
const BUSY = 0x8000_0000;
const DISCARDED = 0x4000_0000;
const LENGTH = 0x3fff_ffff;
const HEADER = 8;

/** The only consumer of a ring. */
export class KernelRing implements Disposable {
  readonly #size: number;
  readonly #addresses: readonly (readonly [address: number, size: number])[];
  readonly #consumer: BigInt64Array;
  readonly #producer: BigInt64Array;
  readonly #data: Int32Array;
  readonly #bytes: Uint8Array;
  #position = 0;

  /** @param size of the data, as the map was made with */
  constructor(descriptor: number, size: number) {
    this.#size = size;
    const mapped = (length: number, protection: number, offset: number): number =>
      libc('mmap', 'mmap', 0, length, protection, MAP_SHARED, descriptor, offset);
    const behind = PAGE + 2 * size;
    const consumer = mapped(PAGE, PROT_READ_WRITE, 0);
    const producer = mapped(behind, PROT_READ, PAGE);
    this.#addresses = [
      [consumer, PAGE],
      [producer, behind],
    ];
    this.#consumer = new BigInt64Array(viewOfMemory(consumer, PAGE));
    const data = viewOfMemory(producer, behind);
    this.#data = new Int32Array(data, PAGE);
    this.#bytes = new Uint8Array(data, PAGE);
    this.#producer = new BigInt64Array(data, 0, 1);
  }

  /** Shows each record that is there. @returns how many */
  consume(visit: (bytes: Uint8Array, at: number, size: number) => void): number {
    const end = Number(Atomics.load(this.#producer, 0));
    let count = 0;
    while (this.#position < end) {
      const at = this.#position % this.#size;
      const word = Atomics.load(this.#data, at / 4);
      if ((word & BUSY) !== 0) break;
      const length = word & LENGTH;
      if ((word & DISCARDED) === 0) {
        visit(this.#bytes, at + HEADER, length);
        count++;
      }
      this.#position += Math.ceil((length + HEADER) / 8) * 8;
    }
    Atomics.store(this.#consumer, 0, BigInt(this.#position));
    return count;
  }

  [Symbol.dispose](): void {
    for (const [address, size] of this.#addresses) libc('munmap', 'munmap', address, size);
  }
}
