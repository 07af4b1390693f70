/** What the kernel tells a new program about itself. Source: getauxval(3); proc(5), /proc/PID/auxv; <elf.h>. */
import { readFileSync } from 'node:fs';
import { struct } from '../bytes/struct.ts';
import { asSysError } from './proc.ts';
import type { ProcessMemory } from './process-memory.ts';

const Entry = struct('Elf64_auxv_t', 16, { type: 'u64', value: 'u64' });

const AT_BASE = 7n;
const AT_ENTRY = 9n;

export interface AuxiliaryVector {
  /** Where the dynamic linker lies, 0 without one. */
  readonly linkerBase: bigint;
  /** The first instruction of the program itself. */
  readonly entry: bigint;
}

/** Of a 64-bit process. @throws {SysError} SYS_ENOENT, SYS_ESRCH, SYS_EACCES */
export function readAuxiliaryVector(pid: number): AuxiliaryVector {
  const path = `/proc/${pid}/auxv`;
  const bytes = asSysError(`read(${path})`, () => readFileSync(path));
  const values = new Map<bigint, bigint>();
  for (let at = 0; at + Entry.size <= bytes.length; at += Entry.size) {
    const { type, value } = Entry.read(bytes, at);
    values.set(type, value);
  }
  return { linkerBase: values.get(AT_BASE) ?? 0n, entry: values.get(AT_ENTRY) ?? 0n };
}

/** A word of memory. */
export interface Word {
  readonly address: bigint;
  readonly value: bigint;
}

const WORD = 8n;
const CHUNK = 4096;
/** As much as arguments and environment may take, in words. */
const LONGEST = 1 << 20;

/**
 * Where a program that has not begun yet is told its first instruction.
 *
 * @param stack its stack pointer: argc, the arguments, zero, the environment, zero, and then this vector
 * @throws {RangeError} if it is not told
 */
export function findEntryWord(memory: ProcessMemory, stack: bigint): Word {
  const [argc] = wordsFrom(memory, stack);
  let at = stack + (argc!.value + 2n) * WORD;
  for (const { address, value } of wordsFrom(memory, at)) {
    at = address + WORD;
    if (value === 0n) break;
  }
  let type: bigint | undefined;
  for (const word of wordsFrom(memory, at)) {
    if (type === AT_ENTRY) return word;
    if (type === 0n) break;
    type = type === undefined ? word.value : undefined;
  }
  throw new RangeError('a program that is not told its entry');
}

function* wordsFrom(memory: ProcessMemory, start: bigint): Generator<Word> {
  for (let at = start, count = 0; count < LONGEST; ) {
    const bytes = memory.readUpTo(at, CHUNK);
    for (const value of new BigUint64Array(bytes.buffer, 0, bytes.length >> 3)) {
      yield { address: at, value };
      at += WORD;
      count++;
    }
    if (bytes.length < CHUNK) return;
  }
}
