/** Where a uprobe sits: `BINARY:FUNCTION[+OFFSET]`, as in the sections of libbpf. */
import type { PrivateData } from '../attach-impl.ts';
import { AttachError } from '../errors.ts';

export class UprobePrivateData implements PrivateData {
  /** A path, a soname with or without version, or the executable's own name. */
  readonly binary: string;
  readonly symbol: string;
  /** In bytes from the function's first. */
  readonly offset: number;

  constructor(binary: string, symbol: string, offset: number) {
    this.binary = binary;
    this.symbol = symbol;
    this.offset = offset;
  }

  toString(): string {
    return `${this.binary}:${this.symbol}${this.offset === 0 ? '' : `+${this.offset}`}`;
  }
}

/**
 * Reads `BINARY:FUNCTION[+OFFSET]`; the offset is decimal or 0x-hexadecimal. The last colon divides, so that a path may
 * hold others; C++ names (`A::b`) therefore need their mangled form.
 *
 * @throws {AttachError} ATTACH_BAD_TARGET
 */
export function parseUprobe(text: string): UprobePrivateData {
  const match = /^(?<binary>.+):(?<symbol>[^:+]+)(?:\+(?<offset>0x[0-9a-fA-F]{1,12}|\d{1,12}))?$/s.exec(text);
  const { binary, symbol, offset } = match?.groups ?? {};
  if (binary === undefined || symbol === undefined) {
    throw new AttachError('ATTACH_BAD_TARGET', `cannot attach to '${text}': wanted BINARY:FUNCTION[+OFFSET]`, {
      fix: "name a library or executable of the process and a function in it, as in 'libc.so.6:malloc'",
    });
  }
  return new UprobePrivateData(binary, symbol, offset === undefined ? 0 : Number(offset));
}
