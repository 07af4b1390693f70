/**
 * Memory of this process that machine code runs in. It is never writable: code is written through /proc/self/mem, as
 * into any other process. What the code does wrong happens to this process: use it in a child.
 */
import { openSync, writeSync } from 'node:fs';
import { callAt, libc } from './libc.ts';

const PROT_READ_EXEC = 5;
const MAP_PRIVATE_ANONYMOUS = 0x22;
const MAP_FIXED_NOREPLACE = 0x10_0000;

/** Stays mapped until the process ends. */
export class ExecutableMemory {
  /** Where code must be made to lie. */
  readonly address: bigint;
  readonly #size: number;
  readonly #memory = openSync('/proc/self/mem', 'r+');

  /**
   * @param size in bytes
   * @param address where to map it; anywhere if not given
   * @throws {SysError} SYS_EEXIST if something is mapped there
   */
  constructor(size: number, address?: bigint) {
    const fixed = address === undefined ? 0 : MAP_FIXED_NOREPLACE;
    const what = `mmap(${size} bytes of code)`;
    this.address = BigInt(
      libc(what, 'mmap', Number(address ?? 0n), size, PROT_READ_EXEC, MAP_PRIVATE_ANONYMOUS | fixed, -1, 0),
    );
    this.#size = size;
  }

  /**
   * Calls `code` as `uint64_t f(void *memory, uint64_t size)`.
   *
   * @param code made to lie at `address`; stays there until the next
   * @param memory is the program's to change
   */
  run(code: Uint8Array, memory: Uint8Array): bigint {
    this.write(code);
    return this.call(memory);
  }

  /** Lays code there, in place of what was. */
  write(code: Uint8Array): void {
    if (code.length > this.#size) throw new RangeError(`${code.length} bytes of code do not fit in ${this.#size}`);
    for (let done = 0; done < code.length; ) {
      done += writeSync(this.#memory, code, done, code.length - done, Number(this.address) + done);
    }
  }

  /** Calls what lies there. */
  call(memory: Uint8Array): bigint {
    return callAt(this.address, memory);
  }
}
