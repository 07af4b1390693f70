/** What the kernel tells a new program about itself. Source: getauxval(3); proc(5), /proc/PID/auxv; <elf.h>. */
import { readFileSync } from 'node:fs';
import { struct } from '../bytes/struct.ts';
import { asSysError } from './proc.ts';

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
