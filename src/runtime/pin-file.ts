/**
 * The file of a pinned map: a line of JSON that says what map it is, then its entries, each as many bytes as a key and the values of
 * all slots have. Whoever has it open holds a lock on it (flock). Somebody else may have written it: nothing in it is believed.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs';
import { SLOTS } from '../maps/slots.ts';
import { tryLibc } from '../sys/libc.ts';
import type { BpfMap } from './bpf-map.ts';
import { RuntimeError } from './errors.ts';

/** Of the file's form. */
const VERSION = 1;
/** The first line has at most so many bytes. */
const LONGEST_HEADER = 4096;
/** Entries are read and written so many bytes at a time, or one. */
const PORTION = 1024 * 1024;
/** Tries to lock a file that others replace meanwhile. */
const ATTEMPTS = 16;

const LOCK_EX_NB = 2 | 4;

/** Types whose entries can be put back one by one, and the order in which that makes the same map. */
const ORDERS: Readonly<Record<string, 'as listed' | 'reversed'>> = {
  hash: 'as listed',
  array: 'as listed',
  percpu_hash: 'as listed',
  percpu_array: 'as listed',
  lru_hash: 'as listed',
  lru_percpu_hash: 'as listed',
  lpm_trie: 'as listed',
  queue: 'as listed',
  stack: 'reversed',
};

/** What says that it is the same map, in the words of the kernel. */
type Shape = Readonly<Record<string, string | number>>;

export class PinFile implements Disposable {
  readonly #path: string;
  #fd: number;

  /**
   * Takes the file of a map, an empty one if there is none.
   *
   * @throws {RuntimeError} RUNTIME_PIN_IN_USE, RUNTIME_PIN_REFUSED
   */
  constructor(path: string, map: BpfMap) {
    this.#path = path;
    if (!Object.hasOwn(ORDERS, map.typeName)) {
      const kept = Object.keys(ORDERS).join(', ');
      throw this.#refused(map, `it is a ${map.typeName}, kept in files are ${kept}`);
    }
    this.#fd = this.#take(map);
  }

  /** Puts what the file holds into the map. @throws {RuntimeError} RUNTIME_PIN_MISMATCH */
  read(map: BpfMap): void {
    const { size } = fstatSync(this.#fd);
    if (size === 0) return;
    const start = Buffer.alloc(Math.min(size, LONGEST_HEADER));
    readSync(this.#fd, start, 0, start.length, 0);
    const header = headerIn(start);
    if (header === undefined) throw this.#mismatch(map, 'it is no file of a pinned map of this version');
    const wanted = shapeOf(map);
    for (const [what, value] of Object.entries(wanted)) {
      if (header.shape[what] === value) continue;
      throw this.#mismatch(map, `its ${what} is ${String(header.shape[what])}, wanted ${value}`);
    }
    const { keySize, valueSize } = map.spec;
    const recordSize = keySize + header.slots * valueSize;
    const count = (size - header.length) / recordSize;
    if (!Number.isInteger(count) || count > map.spec.maxEntries) {
      throw this.#mismatch(
        map,
        `it has ${size - header.length} bytes of entries of ${recordSize}, which are not as many as there may be`,
      );
    }
    const records = this.#records(header.length, recordSize, count);
    for (const record of ORDERS[map.typeName] === 'reversed' ? [...records].reverse() : records) {
      const values = Array.from({ length: header.slots }, (_, slot) => {
        return record.slice(keySize + slot * valueSize, keySize + (slot + 1) * valueSize);
      });
      const result = map.restore(record.slice(0, keySize), values);
      if (result !== 0) throw this.#mismatch(map, `it has an entry that the map does not take (${result})`);
    }
  }

  /** Writes what the map holds: all of it, or the file stays as it was. @throws {RuntimeError} RUNTIME_PIN_REFUSED */
  write(map: BpfMap): void {
    const fresh = `${this.#path}.new`;
    let fd: number | undefined;
    try {
      const { O_RDWR, O_CREAT, O_TRUNC, O_NOFOLLOW } = constants;
      fd = openSync(fresh, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
      const { slots } = map;
      const header = { remora_map: VERSION, name: map.name, ...shapeOf(map), slots };
      writeAll(fd, Buffer.from(`${JSON.stringify(header)}\n`));
      let portion: Uint8Array[] = [];
      let size = 0;
      for (const [key, first] of map.rawEntries()) {
        const others = Array.from({ length: slots - 1 }, (_, slot) => map.lookup(key, slot + 1));
        portion.push(key, first, ...others.map((value) => value ?? new Uint8Array(map.spec.valueSize)));
        size += key.length + slots * first.length;
        if (size < PORTION) continue;
        writeAll(fd, Buffer.concat(portion));
        [portion, size] = [[], 0];
      }
      writeAll(fd, Buffer.concat(portion));
      // Who opens it from now on finds it locked, and waits for no more than the one before.
      tryLibc('flock', fd, LOCK_EX_NB);
      renameSync(fresh, this.#path);
      closeSync(this.#fd);
      this.#fd = fd;
    } catch (error) {
      if (fd !== undefined) {
        closeSync(fd);
        unlinkSync(fresh);
      }
      throw this.#refused(map, (error as Error).message, error);
    }
  }

  /** Lets go of the file. */
  [Symbol.dispose](): void {
    if (this.#fd >= 0) closeSync(this.#fd);
    this.#fd = -1;
  }

  /** Opens and locks it; anew where another has put a new one in its place. */
  #take(map: BpfMap): number {
    const { O_RDWR, O_CREAT, O_NOFOLLOW, O_NONBLOCK } = constants;
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      let fd: number | undefined;
      try {
        fd = openSync(this.#path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o600);
        const opened = fstatSync(fd);
        if (!opened.isFile()) throw new Error(`${this.#path} is no plain file`);
        if (tryLibc('flock', fd, LOCK_EX_NB) < 0) {
          throw new RuntimeError('RUNTIME_PIN_IN_USE', `cannot pin map ${map.name}: another object has ${this.#path}`, {
            why: 'a pinned map is one object’s as long as that is open',
            fix: 'wait until it ends, or keep maps in another directory',
          });
        }
        if (lstatSync(this.#path).ino === opened.ino) return fd;
        closeSync(fd);
      } catch (error) {
        if (fd !== undefined) closeSync(fd);
        throw error instanceof RuntimeError ? error : this.#refused(map, (error as Error).message, error);
      }
    }
    throw this.#refused(map, `${this.#path} is replaced all the while`);
  }

  *#records(from: number, size: number, count: number): Generator<Uint8Array> {
    const atOnce = Math.max(1, Math.floor(PORTION / size));
    for (let first = 0; first < count; first += atOnce) {
      const portion = Buffer.alloc(Math.min(atOnce, count - first) * size);
      readSync(this.#fd, portion, 0, portion.length, from + first * size);
      for (let at = 0; at < portion.length; at += size) yield Uint8Array.from(portion.subarray(at, at + size));
    }
  }

  #refused(map: BpfMap, reason: string, cause?: unknown): RuntimeError {
    return new RuntimeError('RUNTIME_PIN_REFUSED', `cannot pin map ${map.name}: ${reason}`, { cause });
  }

  #mismatch(map: BpfMap, reason: string): RuntimeError {
    return new RuntimeError(
      'RUNTIME_PIN_MISMATCH',
      `cannot go on with pinned map ${map.name} of ${this.#path}: ${reason}`,
      {
        fix: 'remove the file if nobody needs it, or keep maps in another directory',
      },
    );
  }
}

function shapeOf({ typeName, spec }: BpfMap): Shape {
  return {
    type: typeName,
    key_size: spec.keySize,
    value_size: spec.valueSize,
    max_entries: spec.maxEntries,
    map_flags: spec.flags,
  };
}

/** What the first line says, and how many bytes it has. */
function headerIn(
  start: Buffer,
): { readonly shape: Readonly<Record<string, unknown>>; readonly slots: number; readonly length: number } | undefined {
  const end = start.indexOf('\n');
  if (end < 0) return undefined;
  try {
    const shape = JSON.parse(start.toString('utf8', 0, end));
    const { remora_map: version, slots } = shape;
    const isKnown = version === VERSION && Number.isInteger(slots) && slots >= 1 && slots <= SLOTS;
    return isKnown ? { shape, slots, length: end + 1 } : undefined;
  } catch {
    return undefined;
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done);
}
