/**
 * A word of shared memory that the kernel changes when the thread that holds it dies, however it dies: what a lock of a
 * robust mutex is, without the mutex. The thread's list of such words lies in memory of its own, where no target can
 * write. Source: get_robust_list(2); Documentation/locking/robust-futex-ABI.rst.
 */
import { libc, viewOfMemory } from './libc.ts';
import type { SharedMapping } from './shared-mapping.ts';

/** How far in front of the end of the shared memory the word lies. */
export const ROBUST_WORD_FROM_END = 16;
/** The bit that the kernel sets when the holder has died; the others tell its thread id. */
export const HOLDER_DIED = 0x4000_0000;

const PROT_READ_WRITE = 3;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const SYS_GETTID = 186;
const SYS_SET_ROBUST_LIST = 273;
const SYS_GET_ROBUST_LIST = 274;

/** struct robust_list_head: the first entry, from an entry to its word, an entry in the making. */
const HEAD = { size: 24, first: 0, toWord: 8 } as const;
/** What glibc's list has, and a list of our own where the thread has none. */
const TO_WORD = -32n;
/** In the page behind the shared memory an entry, the address of the one before it and of the next, lies in front of this. */
const ENTRIES_END = 256;
/** The kernel follows no more entries than this. */
const LONGEST_LIST = 2048;

/** Held from its construction until it is disposed of, by the thread that made it. */
export class RobustWord implements Disposable {
  readonly #word: Uint32Array;
  readonly #head: bigint;
  readonly #entry: bigint;
  #held = true;

  /** Takes the last word but three of `mapping`. @throws {SysError} */
  constructor(mapping: SharedMapping) {
    const word = mapping.end - ROBUST_WORD_FROM_END;
    this.#head = robustList(mapping.end + ENTRIES_END);
    this.#entry = BigInt(word) - readWord(this.#head + BigInt(HEAD.toWord));
    if (this.#entry < BigInt(mapping.end + 8) || this.#entry > BigInt(mapping.end + ENTRIES_END - 8)) {
      throw new RangeError(`a robust list whose words are at ${BigInt(word) - this.#entry} is not known`);
    }
    this.#word = new Uint32Array(viewOfMemory(word, 4));
    this.#word[0] = libc('gettid', 'syscall', SYS_GETTID, 0, 0, 0, 0);
    writeWord(this.#entry, readWord(this.#head));
    writeWord(this.#head, this.#entry);
  }

  /** Takes it off the list; the word says that its holder has died. */
  [Symbol.dispose](): void {
    if (!this.#held) return;
    this.#held = false;
    let at = this.#head;
    for (let n = 0; n < LONGEST_LIST; n++) {
      const next = readWord(at);
      if (next === this.#entry) {
        writeWord(at, readWord(next));
        break;
      }
      if (next === this.#head) break;
      at = next;
    }
    this.#word[0] = HOLDER_DIED;
  }
}

/** Address of this thread's list. @param scratch address of 16 bytes for the answer */
function robustList(scratch: number): bigint {
  libc('get_robust_list', 'syscall', SYS_GET_ROBUST_LIST, 0, scratch, scratch + 8, 0);
  const known = readWord(BigInt(scratch));
  if (known !== 0n) return known;
  // It must stay as long as the thread does.
  const head = libc('mmap', 'mmap', 0, HEAD.size, PROT_READ_WRITE, MAP_PRIVATE_ANONYMOUS, -1, 0);
  writeWord(BigInt(head + HEAD.first), BigInt(head));
  writeWord(BigInt(head + HEAD.toWord), TO_WORD);
  libc('set_robust_list', 'syscall', SYS_SET_ROBUST_LIST, head, HEAD.size, 0, 0);
  return BigInt(head);
}

function readWord(address: bigint): bigint {
  return new DataView(viewOfMemory(Number(address), 8)).getBigInt64(0, true);
}

function writeWord(address: bigint, value: bigint): void {
  new DataView(viewOfMemory(Number(address), 8)).setBigInt64(0, value, true);
}
