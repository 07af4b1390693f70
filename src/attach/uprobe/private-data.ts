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
 * Reads `BINARY:FUNCTION[+OFFSET]`; the offset is decimal or 0x-hexadecimal. The last single colon divides, so that a path
 * may hold others and a function be `ns::name`.
 *
 * @throws {AttachError} ATTACH_BAD_TARGET
 */
export function parseUprobe(text: string): UprobePrivateData {
  const { binary, place } = /^(?<binary>.+)(?<!:):(?!:)(?<place>.+)$/s.exec(text)?.groups ?? {};
  const { symbol, offset } = PLACE.exec(place ?? '')?.groups ?? {};
  if (binary === undefined || symbol === undefined) {
    throw new AttachError('ATTACH_BAD_TARGET', `cannot attach to '${text}': wanted BINARY:FUNCTION[+OFFSET]`, {
      fix: "name a library or executable of the process and a function in it, as in 'libc.so.6:malloc'",
    });
  }
  return new UprobePrivateData(binary, symbol, offset === undefined ? 0 : Number(offset));
}

/** C++ has operators with a plus of their own. */
const PLACE = /^(?<symbol>(?:[^+]|(?<=operator\+?)\+)+)(?:\+(?<offset>0x[0-9a-fA-F]{1,12}|\d{1,12}))?$/s;

/** Reads `[BINARY:]FUNCTION`, either of which may be a pattern; without BINARY it is any. */
export function parseUprobePattern(text: string): { readonly binary: string; readonly symbol: string } {
  const { binary = '*', symbol = text } = /^(?<binary>.+)(?<!:):(?!:)(?<symbol>.+)$/s.exec(text)?.groups ?? {};
  return { binary, symbol };
}
